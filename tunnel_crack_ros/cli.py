# SPDX-License-Identifier: Apache-2.0
"""The command `tunnel_crack`: one job a command, one line an error."""

from __future__ import annotations

import json
import math
from pathlib import Path
import signal
from typing import Annotated, Any

from rich.markup import escape
import typer

from tunnel_crack_ros.bench.commands import bench, SegmenterName
from tunnel_crack_ros.console import (
    console,
    moving_bar,
    one_line_errors,
    print_table,
    progress_bars,
)
from tunnel_crack_ros.evaluation.commands import evaluation, ModelSetName
from tunnel_crack_ros.json_file import json_text
from tunnel_crack_ros.training.commands import training

# Heavy imports (ONNX Runtime, rclpy, PyTorch) stand inside the commands that need them, so that
# `tunnel_crack --help` is quick and `process` runs without ROS.

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
                  help='Find, measure and explain cracks in tunnel linings.')
app.add_typer(bench, name='bench')
app.add_typer(evaluation)   # without a name: evaluate, train, export, ... stand beside the others
app.add_typer(training)

Json = Annotated[bool, typer.Option('--json', help='Print JSON, for machines.')]
ClassifierName = Annotated[str, typer.Option(help='Model name or file; default: built in.')]


@app.command()
def process(
        path: Annotated[Path, typer.Argument(help='Image, folder of images, video or bag.')],
        out: Annotated[Path, typer.Option(help='Folder for the results.')] = Path('results'),
        models: ModelSetName = '',
        classifier: ClassifierName = '',
        segmenter: SegmenterName = '',
        classifier_threshold: Annotated[float | None, typer.Option(
            min=0, max=1, help="Crack probability that flags a frame; default: the card's.")
            ] = None,
        segmenter_threshold: Annotated[float | None, typer.Option(
            min=0, max=1, help="Confidence that makes a pixel crack; default: the card's.")
            ] = None,
        segment_all: Annotated[bool, typer.Option(
            '--segment-all', help='Segment every frame, not only the flagged ones.')] = False,
        gate: Annotated[bool, typer.Option(
            help='Frames too dark, bright or blurred to judge are UNKNOWN.')] = True,
        params: Annotated[Path | None, typer.Option(
            help="The nodes' parameter file: /**, /**/classifier and /**/segmenter hold.")] = None,
        max_pixels: Annotated[int | None, typer.Option(
            min=65_536, help='Larger frames are reduced to this for the network, px.')] = None,
        enlarge: Annotated[bool | None, typer.Option(
            help='See frames enlarged too, for hairlines; default: as the card says.')] = None,
        mm_per_px: Annotated[float | None, typer.Option(
            min=0, help="Scale; 0: from the bag's camera_info, depth and range.")] = None,
        lining_distance: Annotated[float | None, typer.Option(
            min=0, help="Camera to lining, m; 0: from the bag's depth or range.")] = None,
        tunnel_radius: Annotated[float | None, typer.Option(
            min=0, help='m; with camera_roll in --params for clock positions; 0: the lining is '
                        'flat, without them.')] = None,
        topic: Annotated[list[str] | None, typer.Option(
            help='Image topic of a bag; may be given again. Default: one of each camera.')] = None,
        odometry: Annotated[str, typer.Option(
            help="Topic of a bag's odometry; default: the only one, or .../odom.")] = '',
        depth: Annotated[str, typer.Option(
            help="Topic of a bag's depth images, of all cameras, or camera=topic with commas "
                 'between; default: <camera>/depth, aligned_depth_to_<camera>.')] = '',
        distance: Annotated[str, typer.Option(
            '--range', help="Topic of a bag's distance sensor, likewise; default: "
                            '<camera>/range.')] = '',
        as_json: Json = False) -> None:
    """Find and measure cracks in recorded frames: overlays, masks, cracks.csv, cracks.json."""
    with one_line_errors():
        from tunnel_crack_ros.inspection.parameter_file import read_parameters
        from tunnel_crack_ros.inspection.process import Inspector
        from tunnel_crack_ros.inspection.process import process as inspect
        from tunnel_crack_ros.inspection.sources import open_source
        from tunnel_crack_ros.vision import CrackClassifier, CrackSegmenter, Model
        from tunnel_crack_ros.vision.model_folder import model_set
        chosen = model_set(models)
        said = read_parameters(params, {
            'threshold': classifier_threshold,
            'model': classifier or (chosen.classifier if models else None)}, {
            'max_pixels': max_pixels, 'enlarge': enlarge, 'mm_per_px': mm_per_px,
            'lining_distance_m': lining_distance,
            'tunnel_radius_m': tunnel_radius, 'threshold': segmenter_threshold,
            'model': segmenter or (chosen.segmenter if models else None)})
        judging, outlining, settings = said.classifier, said.segmenter, said.segmenter.settings
        for own in (out / 'overlays', out / 'masks'):
            if path.resolve().is_relative_to(own.resolve()):
                raise ValueError(f'{path}: lies in the results of an earlier inspection, which '
                                 f'--out {out} removes first; expected another folder for one')
        source = open_source(path, topic or [], odometry, depth, distance)
        inspector = Inspector(
            CrackClassifier(Model.load(judging.model or chosen.classifier, task='classifier'),
                            judging.settings if gate else None, judging.threshold),
            CrackSegmenter(Model.load(outlining.model or chosen.segmenter, task='segmenter'),
                           outlining.threshold, settings.max_pixels, settings.min_area_px,
                           settings.enlarge),
            settings, outlining.cameras, segment_all)
        with progress_bars() as bars:
            classifying = bars.add_task('Classifying', total=len(source), unit='frames')
            segmenting = bars.add_task('Segmenting', total=None, unit='flagged')

            def show(done: Any) -> None:
                bars.update(classifying, completed=done.frames, total=max(done.of, done.frames))
                bars.update(segmenting, completed=done.flagged, total=done.flagged or None)
            summary = inspect(source, out, inspector, show,
                              moving_bar(bars, 'Recognising', 'flagged'), recording=str(path))
    notes = summary.notes | {f'unreadable: {fault}': n for fault, n in summary.faults.items()}
    if settings.tunnel_radius_m and summary.cracks and 'camera_roll' not in said.segmenter.named:
        notes['camera_roll is not given (--params): clock positions count every camera as looking '
              'at the crown'] = summary.cracked
    for note, count in notes.items():
        console.print(f'[yellow]warning:[/yellow] {escape(note)} ({count} frames)',
                      soft_wrap=True)
    if summary.lining_note:
        console.print(f'[yellow]warning:[/yellow] {escape(summary.lining_note)}', soft_wrap=True)
    if as_json:
        print((out / 'cracks.json').read_text())
    else:
        print(summary.sentence())
        print('  '.join(f'{out}/{name}' for name in (
            'overlays/', 'masks/', 'frames.csv', 'cracks.csv',
            *(['lining_cracks.csv'] if summary.lining_cracks else []), 'cracks.json',
            'cracks.geojson')))
    if summary.frames and summary.unreadable == summary.frames:
        console.print(f'[red]error:[/red] {escape(str(path))}: no frame can be read',
                      soft_wrap=True)
        raise typer.Exit(1)


@app.command()
def threshold(
        clean: Annotated[Path, typer.Argument(
            help='Frames of your tunnel without any crack: folder, video or bag.')],
        false_alarms: Annotated[float, typer.Option(
            min=0.001, max=0.5, help='Share of such frames that may be flagged.')] = 0.05,
        cracked: Annotated[Path | None, typer.Option(
            help='Frames with cracks: says how many of them are still flagged.')] = None,
        models: ModelSetName = '',
        classifier: ClassifierName = '',
        topic: Annotated[list[str] | None, typer.Option(
            help='Image topic of bags; may be given again. Default: one of each camera.')] = None,
        params: Annotated[Path | None, typer.Option(
            help="The nodes' parameter file: model and quality limits.")] = None,
        out: Annotated[Path | None, typer.Option(
            help='Parameter file to write, for `process --params` and `params_file:=`.')] = None,
        ) -> None:
    """Fit stage 1's threshold to your tunnel, from frames of it that show no crack."""
    with one_line_errors():
        from tunnel_crack_ros.inspection.own_threshold import (
            is_own_file,
            judge,
            parameter_text,
            threshold_for,
        )
        if out and params and out.exists() and params.exists() and out.samefile(params):
            raise ValueError(f'{out}: is the file of --params, whose other values would be lost; '
                             'expected another name for --out')
        if out and out.is_file() and not is_own_file(out):
            raise ValueError(f'{out}: exists, and `threshold` did not write it; expected another '
                             'name for --out')
        from tunnel_crack_ros.inspection.parameter_file import read_parameters
        from tunnel_crack_ros.inspection.sources import open_source
        from tunnel_crack_ros.vision import CrackClassifier, Model
        from tunnel_crack_ros.vision.model_folder import model_set
        chosen = model_set(models)
        said = read_parameters(params, {
            'model': classifier or (chosen.classifier if models else None)}).classifier
        recordings = {'without crack': clean} | ({'cracked': cracked} if cracked else {})
        sources = {name: open_source(path, topic or []) for name, path in recordings.items()}
        judging = CrackClassifier(Model.load(said.model or chosen.classifier, task='classifier'),
                                  said.settings)
        with progress_bars() as bars:
            judged = {name: judge(source, judging, moving_bar(bars, f'Frames {name}'))
                      for name, source in sources.items()}
        own = threshold_for(judged['without crack'].probabilities, false_alarms)
    print_table(('frames', 'judged', 'UNKNOWN', 'unreadable',
                 f"flagged at the card's {judging.threshold:g}", f'at {own:g}'), [
        [name, str(len(found.probabilities)), str(found.unknown), str(found.unreadable),
         *(f'{found.share_from(level):.1%}' if found.probabilities else '-'
           for level in (judging.threshold, own))] for name, found in judged.items()])
    print(f'threshold {own:.4f}')
    if out is None:
        return
    with one_line_errors():     # after the table, which took minutes
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(parameter_text(own, judging.model.card.identity, false_alarms, clean,
                                      said.model), encoding='utf-8')
    print(out)


@app.command()
def models(as_json: Json = False) -> None:
    """List the models and check each file against its card."""
    from tunnel_crack_ros.vision.model_list import list_models, missing_of_sets
    found = list_models()
    wrong = sum(not model.is_ok for model in found)
    if as_json:
        print(json_text([model.to_json_dict() for model in found]))
    else:
        print_table(
            ('name', 'set', 'task', 'architecture', 'precision', 'MB', 'threshold', 'score',
             'provider', 'state'),
            [[model.name, ', '.join(model.sets), model.task, model.architecture, model.precision,
              f'{model.megabytes:.1f}', f'{model.threshold:g}', model.headline, model.provider,
              model.state] for model in found])
        for name, missing in missing_of_sets().items():
            print(f"set {name} is not complete: there is no {', no '.join(missing)}")
    if wrong or not found:
        console.print('[red]error:[/red] ' + (f'{wrong} models do not fit their cards' if found
                                              else 'no models found'))
        raise typer.Exit(1)


@app.command()
def explain(
        image: Annotated[Path, typer.Argument(help='Picture.')],
        out: Annotated[Path, typer.Option(help='PNG to write.')] = Path('results/explained.png'),
        method: Annotated[str, typer.Option(
            help='fast, or exact: one pass of the network for every channel.')] = 'fast',
        layers: Annotated[str, typer.Option(
            help='Names with commas between; default: all of the model.')] = '',
        deadline: Annotated[float | None, typer.Option(
            min=0, help='Take the best maps after so many seconds.')] = None,
        baseline: Annotated[str, typer.Option(
            help='What a masked picture fades to: black, mean or blurred.')] = 'mean',
        model: Annotated[str, typer.Option(
            help='Segmenter or classifier, name or file; default: the segmenter.')] = '') -> None:
    """Show which parts of a picture led to the answer: Score-CAM of every layer, in one PNG."""
    with one_line_errors():
        from tunnel_crack_ros.explanation_sheet import draw_sheet, layers_of
        from tunnel_crack_ros.vision import CrackSegmenter, Model
        from tunnel_crack_ros.vision.model_folder import SEGMENTER
        from tunnel_crack_ros.vision.picture_file import (
            check_ending,
            read_picture,
            write_picture,
        )
        from tunnel_crack_ros.vision.score_cam import ScoreCam
        check_ending(out)
        if out.exists() and image.exists() and out.samefile(image):
            raise ValueError(f'{out}: is the picture itself; expected another name for --out')
        frame = read_picture(image)
        out.parent.mkdir(parents=True, exist_ok=True)   # told before the passes take minutes
        loaded = Model.load(model or SEGMENTER, with_taps=True)
        cam = ScoreCam(loaded, baseline=baseline)
        with progress_bars() as bars:
            bar = moving_bar(bars, 'Explaining', 'passes')
            mask = CrackSegmenter(loaded).segment(frame).mask \
                if loaded.card.task == 'segmenter' else None
            predicted = mask is not None and mask.any()
            found = cam.explain(frame, layers_of(layers), method=method, deadline_s=deadline,
                                region=mask > 0 if mask is not None and predicted else None,
                                on_progress=lambda p: bar(p.passes, p.expected))
        sheet = draw_sheet(frame, found, mask, f'{loaded.card.identity}, {method}')
        write_picture(out, sheet)
    print_table(('layer', 'channels', 'scored', 'passes', 'fidelity'), [
        [heat.layer, str(heat.channels), str(heat.scored), str(heat.passes),
         '-' if math.isnan(heat.fidelity) else f'{heat.fidelity:.3f}']
        for heat in found.heat_maps])
    if mask is not None and not predicted:
        print(f'{image}: nothing is predicted; explained is what came nearest to it')
    print(f'{out}  {found.passes} passes in {found.elapsed_s:.1f} s'
          f'{"" if found.complete else ", cut short"}')


@app.command()
def simulate(
        out: Annotated[Path, typer.Option(help='Folder for bag/ and truth/.')] =
        Path('results/simulated'),
        cameras: Annotated[str, typer.Option(help='Names, with commas between.')] = 'camera',
        frames: Annotated[int, typer.Option(help='Frames of each camera.')] = 100,
        seed: Annotated[int, typer.Option(help='Which tunnel and drive.')] = 0,
        width: Annotated[int, typer.Option(help='px')] = 512,
        height: Annotated[int, typer.Option(help='px')] = 375,
        mm_per_px: Annotated[float, typer.Option(help='Millimetres of lining per pixel.')] = 1.0,
        fps: Annotated[float, typer.Option(help='Frames per second of each camera.')] = 8.0,
        speed: Annotated[float, typer.Option(help='Of the vehicle, m/s.')] = 0.4,
        crack_density: Annotated[float, typer.Option(help='Cracks begun per m^2.')] = 0.8,
        unusable_rate: Annotated[float, typer.Option(
            help='Share of frames too dark, too bright or too blurred, 0..1.')] = 0.04,
        transport: Annotated[str, typer.Option(help='compressed or raw')] = 'compressed',
        as_json: Json = False) -> None:
    """Render a drive along a lining with known cracks: a bag, and the truth beside it."""
    with one_line_errors():
        from tunnel_crack_ros.simulation import simulate as render
        from tunnel_crack_ros.simulation import SimulationSettings, spread_cameras
        settings = SimulationSettings(
            seed=seed, frames=frames, width=width, height=height, mm_per_px=mm_per_px, fps=fps,
            speed=speed, crack_density=crack_density, unusable_rate=unusable_rate,
            transport=transport,
            cameras=spread_cameras([name.strip() for name in cameras.split(',')]))
        with progress_bars() as bars:
            made = render(settings, out, moving_bar(bars, 'Rendering'))
    if as_json:
        print(json.dumps({'bag': str(made.bag), 'truth': str(made.truth)}))
        return
    print(f'{made.bag}  {made.truth}')


@app.command()
def replay(
        bag: Annotated[Path, typer.Argument(help='Folder of a rosbag2 bag, or its file.')],
        ros_arguments: Annotated[list[str] | None, typer.Argument(
            help='After `--`: --ros-args -r /left/image_raw:=/camera/image_raw')] = None,
        rate: Annotated[float, typer.Option(help='Times the speed of the recording.')] = 1.0,
        clock: Annotated[float | None, typer.Option(
            help='Publish /clock so often, Hz.')] = None,
        loop: Annotated[bool, typer.Option(help='Start again at the end.')] = False,
        topic: Annotated[list[str] | None, typer.Option(
            help='Only this topic; may be given again.')] = None,
        wait: Annotated[bool, typer.Option(
            help='Start when every image topic has a subscriber, the others too or 5 s later.')
            ] = False) -> None:
    """Publish a bag's messages at their own rate, as `ros2 bag play` does."""
    with one_line_errors():
        from tunnel_crack_ros.nodes.bag_player import play
        play(bag, rate=rate, clock_hz=clock, loop=loop, topics=topic or None,
             wait_for_subscribers=wait, ros_args=ros_arguments)


@app.command()
def demo(
        out: Annotated[Path, typer.Option(help='Folder for everything.')] = Path('results/demo'),
        frames: Annotated[int, typer.Option(min=4, help='Frames of each camera.')] = 80,
        rate: Annotated[float, typer.Option(
            min=0.01, max=100.0, help='Times the speed of the drive.')] = 1.0,
        seed: Annotated[int, typer.Option(help='Which tunnel and drive.')] = 36) -> None:
    """Simulate an inspection, replay it through the live nodes, and keep what they publish."""
    with one_line_errors():
        from tunnel_crack_ros.demo import run_demo
        with progress_bars() as bars:
            outcome = run_demo(out, frames, rate, seed,
                               partial_bar=lambda what: moving_bar(bars, what))
    print(outcome.text())


def main() -> None:
    """Run the command line; one that is told to end writes what it has, as after Ctrl-C."""
    for name in ('SIGTERM', 'SIGHUP'):      # a lost connection sends the second
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _end)
    app(prog_name='tunnel_crack')


def _end(number: int, _: Any) -> None:
    raise SystemExit(128 + number)


if __name__ == '__main__':
    main()
