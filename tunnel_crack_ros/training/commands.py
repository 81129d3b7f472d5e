# SPDX-License-Identifier: Apache-2.0
"""The commands that make models: `tunnel_crack train`, `export`, `compare`, `ablate`, ..."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from rich.markup import escape
from rich.progress import Progress
import typer

from tunnel_crack_ros.console import (
    console,
    moving_bar,
    one_line_errors,
    print_table,
    progress_bars,
)

# PyTorch is imported inside the commands: `tunnel_crack --help` is quick, and works without it.

training = typer.Typer()

# options of several commands
Model = Annotated[str, typer.Argument(help='Name of a network.')]
LearningRate = Annotated[float | None, typer.Option(
    min=1e-6, max=1.0, help="Default: the recipe's.")]
Seed = Annotated[int, typer.Option(help='The same seed gives the same run.')]
Simulated = Annotated[int, typer.Option(min=0, help='Frames of simulated linings to mix in.')]
InputSide = Annotated[int, typer.Option(
    min=0, help='Classifiers see frames at this many px a side; 0: as the network, or its '
                'training, does.')]
WithoutCrack = Annotated[list[Path] | None, typer.Option(
    help='Folder of photographs without crack that `train` was given; again for another.')]
# and of those that train every line of a table
Epochs = Annotated[int, typer.Option(min=1)]
Samples = Annotated[int, typer.Option(min=8, help='An epoch.')]
Start = Annotated[Path | None, typer.Option(
    help='A .best.pt or deployed .onnx of this model that every line starts from; default: '
         'ImageNet weights.')]


@training.command()
def train(
        model: Model,
        data: Annotated[Path, typer.Option(
            help='Folder with index.csv, or with images/ and masks/.')],
        out: Annotated[Path, typer.Option(help='Folder for checkpoints and curves.')] =
        Path('runs'),
        recipe: Annotated[str, typer.Option(help='ours or paper')] = 'ours',
        simulated: Simulated = 0,
        without_crack: Annotated[list[Path] | None, typer.Option(
            help='Folder of photographs without any crack, to mix in; again for another.')] = None,
        epochs: Annotated[int | None, typer.Option(min=1, help="Default: the recipe's.")] = None,
        samples: Annotated[int | None, typer.Option(
            min=1, help="Of an epoch; default: the recipe's.")] = None,
        seed: Seed = 0,
        resume: Annotated[bool, typer.Option(
            '--resume', help='Go on with the run in the folder.')] = False,
        start_from: Annotated[Path | None, typer.Option(
            help="A .best.pt to start from, of another model its encoder; torchvision's ImageNet "
                 "weights (.pth); or this model's deployed .onnx.")] = None,
        teacher: Annotated[str | None, typer.Option(
            help='Name or path of an ONNX model to learn from, beside the labels.')] = None,
        mine_with: Annotated[str | None, typer.Option(
            help='Name or path of an ONNX segmenter whose false alarms are drawn more often.')] =
        None,
        learning_rate: LearningRate = None,
        average_decay: Annotated[float | None, typer.Option(
            min=0.0, max=0.9999, help='Of the moving average of the weights, which is what is '
                                      "kept; default: the recipe's.")] = None,
        batch: Annotated[int | None, typer.Option(min=1, help="Default: the recipe's.")] = None,
        crop: Annotated[int | None, typer.Option(
            min=64, help="Of segmenters, px; default: the recipe's.")] = None,
        input_side: InputSide = 0,
        validate_every: Annotated[int | None, typer.Option(
            min=1, help="Epochs; the last one always is. Default: the recipe's.")] = None,
        source: Annotated[list[str] | None, typer.Option(
            help='Draw from this source only; again for another. Default: all of the recipe.')] =
        None,
        plain: Annotated[bool, typer.Option(
            '--plain', help='Photographs and labels as they are: nothing drawn, pasted, thinned, '
                            'scaled or varied.')] = False) -> None:
    """Train a network (needs `make setup-training`)."""
    with one_line_errors():
        from dataclasses import replace

        from tunnel_crack_ros.evaluation.crack_dataset import CrackDataset
        from tunnel_crack_ros.training.fit import train as fit
        from tunnel_crack_ros.training.models import architecture
        from tunnel_crack_ros.training.recipes import of_sources, recipe_of, without_parts
        chosen = recipe_of(recipe, architecture(model).task)
        if source:
            chosen = of_sources(chosen, source, CrackDataset.read(data).sources)
        if plain:
            chosen = without_parts(chosen)
        chosen = replace(chosen, epochs=epochs or chosen.epochs,
                         samples_per_epoch=samples or chosen.samples_per_epoch,
                         learning_rate=learning_rate or chosen.learning_rate,
                         average_decay=(chosen.average_decay if average_decay is None
                                        else average_decay),
                         batch_size=batch or chosen.batch_size,
                         crop_side=crop or chosen.crop_side,
                         input_side=input_side or chosen.input_side,
                         validate_every=validate_every or chosen.validate_every)
        with progress_bars() as bars:
            steps = moving_bar(bars, 'Training', 'steps')
            best = fit(model, data, out, recipe=chosen, simulated=simulated,
                       without_crack=without_crack or (), seed=seed, resume=resume,
                       start_from=start_from, teacher=teacher, mine_with=mine_with,
                       on_step=lambda done, of, loss: steps(done, of),
                       on_epoch=lambda epoch: bars.console.print(_epoch_line(epoch)))
    print(best)


@training.command()
def compare(
        data: Annotated[Path, typer.Option(help='Folder with splits, as for `train`.')],
        out: Annotated[Path, typer.Option(help='Folder of the runs.')] = Path('runs/comparison'),
        report: Annotated[Path, typer.Option(help='Page to write.')] = Path('docs/comparison.md'),
        models: Annotated[str, typer.Option(
            help='Names, with commas between; default: all twelve of the paper.')] = '',
        epochs: Epochs = 3,
        classifier_samples: Annotated[int, typer.Option(min=16, help='An epoch.')] = 416,
        segmenter_samples: Annotated[int, typer.Option(min=8, help='An epoch.')] = 640,
        batch: Annotated[int, typer.Option(min=2, help='Samples a step.')] = 4,
        crop: Annotated[int, typer.Option(min=64, help='Of segmenters, px.')] = 128,
        simulated: Simulated = 0,
        teachers: Annotated[str, typer.Option(
            help='Set of deployed models that all learn from: edge, paper or none.')] = 'edge',
        seed: Seed = 0) -> None:
    """Train and score the paper's networks under one budget; resumable (needs PyTorch)."""
    with one_line_errors():
        from tunnel_crack_ros.training.comparison import Budget, MODELS
        from tunnel_crack_ros.training.comparison import compare as run
        with progress_bars() as bars:
            run(data, out, report, [name.strip() for name in models.split(',')] if models
                else MODELS, Budget(epochs, classifier_samples, segmenter_samples, batch,
                                    crop, simulated, '' if teachers == 'none' else teachers),
                seed, _watch(bars))
    print(report)


@training.command()
def ablate(
        model: Model,
        data: Annotated[Path, typer.Option(
            help='Folder with index.csv, or with images/ and masks/.')],
        out: Annotated[Path, typer.Option(help='Folder of the runs.')] = Path('runs/ablation'),
        epochs: Epochs = 3,
        samples: Samples = 512,
        simulated: Simulated = 300,
        only: Annotated[list[str] | None, typer.Option(
            help='Train this line; may be given again. Default: all.')] = None,
        start_from: Start = None,
        learning_rate: LearningRate = None,
        seed: Seed = 0) -> None:
    """Train without one part of the recipe at a time; resumable (needs PyTorch)."""
    with one_line_errors():
        from tunnel_crack_ros.training.ablation import ablate as run
        with progress_bars() as bars:
            table = run(model, data, out, epochs=epochs, samples=samples, simulated=simulated,
                        only=only or (), seed=seed, start_from=start_from,
                        learning_rate=learning_rate, watch=_watch(bars))
    print(table)


@training.command()
def leave_one_out(
        model: Model,
        data: Annotated[Path, typer.Option(help='Folder with splits and several sources.')],
        out: Annotated[Path, typer.Option(help='Folder of the runs.')] =
        Path('runs/leave_one_out'),
        source: Annotated[list[str] | None, typer.Option(
            help='Leave out this one; may be given again. Default: each in its turn.')] = None,
        epochs: Epochs = 3,
        samples: Samples = 512,
        simulated: Simulated = 300,
        start_from: Start = None,
        learning_rate: LearningRate = None,
        seed: Seed = 0) -> None:
    """Train without one source at a time and score on it; resumable (needs PyTorch)."""
    with one_line_errors():
        from tunnel_crack_ros.training.leave_one_out import leave_one_out as run
        with progress_bars() as bars:
            table = run(model, data, out, epochs=epochs, samples=samples, simulated=simulated,
                        sources=source or (), seed=seed, start_from=start_from,
                        learning_rate=learning_rate, watch=_watch(bars))
    print(table)


@training.command()
def average(
        checkpoint: Annotated[Path, typer.Argument(help='A .best.pt of `train`.')],
        deployed: Annotated[Path, typer.Argument(
            help='The deployed .onnx that it started from.')],
        data: Annotated[Path, typer.Option(help='The data of the training.')],
        out: Annotated[Path, typer.Option(help='Folder for the checkpoint.')] = Path('runs/mean'),
        share: Annotated[float, typer.Option(
            min=0.0, max=1.0, help="Of the checkpoint's weights in the mean.")] = 0.5,
        without_crack: WithoutCrack = None) -> None:
    """Write the mean of a network and its start: what it learned, less forgotten."""
    with one_line_errors():
        from tunnel_crack_ros.training.weight_mean import write_mean
        path = write_mean(checkpoint, deployed, data, out, share, without_crack or ())
    print(f'{path}: now `tunnel_crack export {path} --data {data}`')


@training.command()
def export(
        checkpoint: Annotated[Path, typer.Argument(help='A .best.pt of `train`.')],
        out: Annotated[Path, typer.Option(help='Folder for the .onnx and its card.')] =
        Path('models'),
        data: Annotated[Path | None, typer.Option(
            help='The data of the training: builds are calibrated and scored on it.')] = None,
        builds: Annotated[str, typer.Option(
            help='fp32, int8, fp16, int8_weights, with commas between; all but a lone fp32 need '
                 '--data.')] = 'fp32',
        without_crack: WithoutCrack = None,
        half_scale: Annotated[bool, typer.Option(
            help='Segmenters: frames are also seen at half their size, for wide cracks.')] = False,
        enlarge: Annotated[float, typer.Option(
            min=1.0, max=4.0,
            help='Segmenters: frames are also seen enlarged by this, for hairlines.')] = 1.0,
        at: Annotated[tuple[float, float] | None, typer.Option(
            metavar='THRESHOLD PEAK', help='Segmenters: these, not the best on validation; needs '
                                           '--data.')] = None,
        input_side: InputSide = 0) -> None:
    """Write a trained network as ONNX with its card (needs `make setup-training`)."""
    with one_line_errors():
        precisions = [name.strip() for name in builds.split(',') if name.strip()]
        if data is None:
            from tunnel_crack_ros.training.export import export as write
            if at is not None:
                raise ValueError('--at is scored on the data of the training: give --data')
            if precisions != ['fp32']:
                raise ValueError(f"builds '{builds}' must be calibrated and scored: give the data "
                                 'of the training with --data')
            made = write(checkpoint, out, half_scale=half_scale, enlarge=enlarge,
                         input_side=input_side)
            print(f'{made.model}  {made.card}  largest difference from PyTorch '
                  f'{made.max_difference:.1e}, on noise; metrics are those of the training')
            return
        from tunnel_crack_ros.training.builds import export_builds
        with progress_bars() as bars:
            done = export_builds(checkpoint, out, data, precisions,
                                 without_crack=without_crack or (), half_scale=half_scale,
                                 enlarge=enlarge, input_side=input_side, at=at,
                                 progress=moving_bar(bars, 'Exporting', 'builds'))
    print_table(('build', 'MB', 'score', 'lost', 'written'), [
        [build.name, f'{build.megabytes:.1f}', f'{build.metric} {build.value:.4f}',
         f'{build.lost:.4f}', '' if build.refused else str(build.model)] for build in done])
    print(f'largest difference of fp32 from PyTorch {done[0].max_difference:.1e}, on noise and '
          f'{done[0].compared_frames} photographs')
    refused = [build.refused for build in done if build.refused]
    for reason in refused:
        console.print('[red]not written:[/red] ' + escape(reason), soft_wrap=True)
    if refused:
        raise typer.Exit(1)


def _epoch_line(epoch: Any) -> str:
    line = f'epoch {epoch.number}/{epoch.of}: loss {epoch.loss:.4f}, {epoch.seconds:.0f} s'
    if epoch.validation is None:
        return line
    metrics = ', '.join(f'{metric.name} {metric.value:.3f}'
                        for metric in epoch.validation.metrics[:4])
    return f"{line}, validation: {metrics}{' (best so far)' if epoch.is_best else ''}"


def _watch(bars: Progress) -> Any:
    from tunnel_crack_ros.training.table_runs import Watch
    steps = moving_bar(bars, 'Training', 'steps')
    return Watch(on_line=lambda line: bars.console.print(line.title),
                 on_step=lambda done, of, loss: steps(done, of),
                 on_epoch=lambda epoch: bars.console.print(_epoch_line(epoch)),
                 on_image=moving_bar(bars, 'Scoring'))
