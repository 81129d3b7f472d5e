# SPDX-License-Identifier: Apache-2.0
"""The commands `tunnel_crack bench ...`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tunnel_crack_ros.console import (
    moving_bar,
    one_line_errors,
    print_table,
    progress_bars,
    saved_json,
)
from tunnel_crack_ros.frame_topic import TRANSPORTS

# Heavy imports stand inside the commands, as in cli.py.

bench = typer.Typer(no_args_is_help=True, help='Measure speed and accuracy on this machine.')

JsonFile = Annotated[Path | None, typer.Option('--json', help='Write the numbers to this file.')]
SegmenterName = Annotated[str, typer.Option(help='Model name or file; default: built in.')]


@bench.command()
def latency(
        frames: Annotated[int, typer.Option(min=10, help='Frames to send.')] = 100,
        transport: Annotated[str, typer.Option(help='raw or compressed')] = 'raw',
        width: Annotated[int, typer.Option(min=64, max=8192, help='px')] = 512,
        height: Annotated[int, typer.Option(min=64, max=8192, help='px')] = 375,
        json_file: JsonFile = None) -> None:
    """Time a frame from its publisher to its mask, through the real nodes."""
    with one_line_errors():
        if transport not in TRANSPORTS:
            raise ValueError(f"transport is '{transport}', expected {' or '.join(TRANSPORTS)}")
        from tunnel_crack_ros.bench.latency import measure_latency
        from tunnel_crack_ros.simulation import render_single
        pictures = [render_single(seed, (width, height), 1.0, True).rgb for seed in range(20)]
        found = measure_latency([pictures[i % 20] for i in range(frames)], transport)
    with saved_json(json_file, found.to_json_dict()):
        print_table(('stage', 'median ms'), [
            *([stage, f'{value:.1f}'] for stage, value in sorted(found.stages.items())),
            ['publisher to mask', f'{found.total_median:.1f} (p95 {found.total_p95:.1f})'],
            ['model inference', f'{found.inference_median:.1f} ({found.inference_share:.0%})']])


@bench.command('beside-explainer')
def beside_explainer(
        frames: Annotated[int, typer.Option(min=5, help='Frames of each turn.')] = 40,
        turns: Annotated[int, typer.Option(
            min=1, help='How often, without the explainer and with it.')] = 5,
        json_file: JsonFile = None) -> None:
    """Compare the segmenter's throughput without and with the explainer at full load."""
    with one_line_errors():
        from tunnel_crack_ros.bench.beside_explainer import measure_beside_explainer
        from tunnel_crack_ros.simulation import render_single
        pictures = [render_single(seed, (512, 384), 1.0, True).rgb for seed in range(10)]
        found = measure_beside_explainer([pictures[i % 10] for i in range(frames)], turns)
    with saved_json(json_file, found.to_json_dict()):
        print_table(('turn', 'alone, frames/s', 'beside the explainer'), [
            [str(turn + 1), f'{alone:.2f}', f'{beside:.2f}']
            for turn, (alone, beside) in enumerate(zip(found.alone, found.beside))])
        print(f'loss of throughput (medians): {found.loss:.1%}; meanwhile the explainer made '
              f'{found.explainer_passes} passes')


@bench.command()
def geometry(
        cases: Annotated[int, typer.Option(min=1, help='Rendered cracks of each shape.')] = 40,
        seed: Annotated[int, typer.Option(help='Which cracks.')] = 1,
        plot: Annotated[Path | None, typer.Option(help='Draw the errors into this PNG.')] = None,
        segmenter: SegmenterName = '',
        json_file: JsonFile = None) -> None:
    """Compare measured length, width and direction with those of rendered cracks; time it."""
    with one_line_errors():
        from tunnel_crack_ros.bench.geometry import measure_geometry
        from tunnel_crack_ros.vision import CrackSegmenter, Model
        from tunnel_crack_ros.vision.model_folder import SEGMENTER
        from tunnel_crack_ros.vision.picture_file import check_ending
        if plot is not None:
            check_ending(plot)
        drawn = CrackSegmenter(Model.load(segmenter or SEGMENTER, task='segmenter'))
        with progress_bars() as bars:
            found = measure_geometry(cases, seed, progress=moving_bar(bars, 'Measuring', 'cracks'),
                                     segment=drawn.segment)
    with saved_json(json_file, found.to_json_dict()):
        print_table(found.columns, found.rows())
        print(found.sentence())
        if found.speed is not None:
            print_table(found.speed.columns, found.speed.rows())
            print(found.speed.sentence())
    if plot is not None:
        with one_line_errors():
            found.draw(plot)


@bench.command()
def chain(
        frames: Annotated[int, typer.Option(min=1, help='Simulated frames of a drive.')] = 200,
        seed: Annotated[int, typer.Option(min=0, help='Which tunnel.')] = 11,
        data: Annotated[Path | None, typer.Option(
            help='Folder of photographs with masks: measure them, too.')] = None,
        split: Annotated[str, typer.Option(help='train, val or test.')] = 'test',
        segmenter: SegmenterName = '',
        json_file: JsonFile = None) -> None:
    """Segment and measure cracks of known size: simulated ones, and labelled photographs."""
    with one_line_errors():
        from tunnel_crack_ros.bench.chain import measure_chain
        from tunnel_crack_ros.bench.labels import measure_against_labels
        from tunnel_crack_ros.evaluation.crack_dataset import CrackDataset
        from tunnel_crack_ros.simulation import render_frames, SimulationSettings
        from tunnel_crack_ros.vision import CrackSegmenter, Model
        from tunnel_crack_ros.vision.model_folder import SEGMENTER
        drawn = CrackSegmenter(Model.load(segmenter or SEGMENTER, task='segmenter'))
        photographs = [] if data is None else CrackDataset.read(data).select(
            split, without=('asphalt_',)).images
        # a frame a second at 0.4 m/s: 512 mm wide, they overlap by a fifth
        drive = SimulationSettings(seed=seed, frames=frames, fps=1.0)
        with progress_bars() as bars:
            show = moving_bar(bars, 'Measuring')
            simulated = measure_chain(drawn.segment, render_frames(drive),
                                      lambda done: show(done, frames)).to_json_dict()
            labels = {source: errors.to_json_dict() for source, errors in measure_against_labels(
                drawn.segment, photographs, moving_bar(bars, 'Photographs', 'images')).items()}
    with saved_json(json_file, {'model': drawn.model.card.identity, 'simulated': simulated,
                                'labels': labels}):
        print_table(('simulated', ''),
                    [[name, f'{value:.4g}'] for name, value in simulated.items()])
        if labels:
            print_table(('source', *next(iter(labels.values()))), [
                [source, *(f'{value:.3g}' for value in errors.values())]
                for source, errors in labels.items()])


@bench.command('explain')
def bench_explain(
        data: Annotated[Path | None, typer.Option(
            help='Folder with index.csv, or with images/ and masks/; default: rendered frames.')
            ] = None,
        split: Annotated[str, typer.Option(help='train, val or test.')] = 'val',
        images: Annotated[int, typer.Option(min=1, help='Cracked pictures to explain.')] = 20,
        crop: Annotated[int, typer.Option(
            min=0, help='Of photographs, only a square of this side around the crack, px, for '
                        'networks of many channels; 0: whole ones.')] = 0,
        layers: Annotated[str, typer.Option(
            help='Names with commas between; default: layer2,layer4,decoder.')] = '',
        segmenter: SegmenterName = '',
        json_file: JsonFile = None) -> None:
    """Compare fast Score-CAM with exact, exact with its equations and the grad-cam package."""
    with one_line_errors():
        from tunnel_crack_ros.bench.explain import measure_explain
        from tunnel_crack_ros.bench.explanation_trials import (
            around_crack,
            cracked_pictures,
            library_of,
        )
        from tunnel_crack_ros.explanation_sheet import layers_of
        from tunnel_crack_ros.simulation import render_single
        from tunnel_crack_ros.vision import Model
        from tunnel_crack_ros.vision.model_folder import SEGMENTER
        if data is None:
            frames = [render_single(seed, (512, 384), 1.0, True).rgb for seed in range(images)]
        else:
            frames = [around_crack(frame, label, crop) if crop else frame for _, frame, label in
                      cracked_pictures(data, split, (), images)]
        name = segmenter or SEGMENTER
        library, missing = library_of(name)
        with progress_bars() as bars:
            found = measure_explain(
                Model.load(name, task='segmenter', with_taps=True), frames,
                layers=layers_of(layers), library=library,
                progress=moving_bar(bars, 'Explaining', 'pictures'))
    with saved_json(json_file, {**found.to_json_dict(),
                                'exact_to_grad_cam_library_time_reason': missing}):
        print_table(found.columns, found.rows())
        if found.left_out:
            print(f'left out: {found.left_out} pictures in which {found.model} marks nothing')
        print(f'exact against float64: {found.exact_correlation:.5f}; fast takes '
              f'{found.fast_to_exact_time:.1%} of the time; first map after '
              f'{found.first_map_seconds:.2f} s (at most {found.first_map_seconds_worst:.2f}); '
              f'deadline kept in {found.deadline_kept:.0%} of the calls')
        print(f'exact against the grad-cam package: not measured, {missing}' if missing else
              f'exact takes {found.exact_to_library_time:.2f} times as long as the grad-cam '
              f'package ({found.timed_layer})')


@bench.command()
def faithfulness(
        data: Annotated[Path, typer.Option(
            help='Folder with index.csv, or with images/ and masks/.')],
        split: Annotated[str, typer.Option(help='train, val or test.')] = 'test',
        source: Annotated[list[str] | None, typer.Option(
            help='Only this source; may be given again. Default: all but asphalt.')] = None,
        images: Annotated[int, typer.Option(min=1, help='Cracked pictures to explain.')] = 20,
        layers: Annotated[str, typer.Option(
            help='Names with commas between; default: layer2,layer4,decoder.')] = '',
        maps: Annotated[str, typer.Option(
            help='fast, exact, random, grad-cam (needs PyTorch), with commas between.')] =
        'fast,random',
        baseline: Annotated[str, typer.Option(
            help='What a masked picture fades to: black, mean or blurred.')] = 'mean',
        segmenter: SegmenterName = '',
        plot: Annotated[Path | None, typer.Option(
            help='Draw insertion and deletion curves into this PNG.')] = None,
        json_file: JsonFile = None) -> None:
    """Test whether heat maps are true: insertion, deletion, drop, increase, pointing game."""
    with one_line_errors():
        from tunnel_crack_ros.bench.explain import WANTED
        from tunnel_crack_ros.bench.explanation_trials import cracked_pictures, methods_of
        from tunnel_crack_ros.evaluation.faithfulness import measure_faithfulness
        from tunnel_crack_ros.explanation_sheet import layers_of
        from tunnel_crack_ros.vision import Model
        from tunnel_crack_ros.vision.model_folder import SEGMENTER
        from tunnel_crack_ros.vision.picture_file import check_ending
        from tunnel_crack_ros.vision.score_cam import ScoreCam
        if plot is not None:
            check_ending(plot)
        name = segmenter or SEGMENTER
        cam = ScoreCam(Model.load(name, task='segmenter', with_taps=True), baseline=baseline)
        chosen = layers_of(layers) or [layer for layer in WANTED if layer in cam.layers]
        methods = methods_of(maps, cam, name)
        pictures = cracked_pictures(data, split, source, images)
        with progress_bars() as bars:
            found = measure_faithfulness(cam, pictures, methods, chosen,
                                         progress=moving_bar(bars, 'Testing', 'pictures'))
    with saved_json(json_file, found.to_json_dict()):
        print_table(found.columns, found.rows())
        print(f'{found.pictures} pictures, {found.without_answer} more in which the segmenter '
              'marks nothing')
    if plot is not None:
        with one_line_errors():
            from tunnel_crack_ros.bench.explanation_trials import draw_curves
            from tunnel_crack_ros.vision.picture_file import write_picture
            write_picture(plot, draw_curves(found))
