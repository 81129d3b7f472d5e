# SPDX-License-Identifier: Apache-2.0
"""The command `tunnel_crack evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from rich.markup import escape
import typer

from tunnel_crack_ros.console import (
    console,
    moving_bar,
    one_line_errors,
    output,
    progress_bars,
    saved_json,
)

# Heavy imports stand inside the command, as in cli.py.

evaluation = typer.Typer()

ModelSetName = Annotated[str, typer.Option(
    help='edge (light, default) or paper: both models. One named by itself wins.')]
ScoredClassifier = Annotated[str, typer.Option(
    help='Model name, .onnx or .best.pt; default: built in.')]
ScoredSegmenter = Annotated[str, typer.Option(
    help='Model name, .onnx or .best.pt; default: built in.')]


@evaluation.command()
def evaluate(
        data: Annotated[Path, typer.Option(
            help='Folder with index.csv, or with images/ and masks/.')],
        split: Annotated[str, typer.Option(
            help='train, val or test; of a folder without splits, all.')] = 'test',
        source: Annotated[list[str] | None, typer.Option(
            help='Only this source; may be given again. Default: all but asphalt.')] = None,
        models: ModelSetName = '',
        classifier: ScoredClassifier = '',
        segmenter: ScoredSegmenter = '',
        only: Annotated[str | None, typer.Option(
            help='classifier or segmenter: run this stage alone.')] = None,
        figures: Annotated[Path | None, typer.Option(
            help='Folder for pictures of what the models said.')] = None,
        beside: Annotated[list[str] | None, typer.Option(
            help='Further model for the figures; may be given again.')] = None,
        json_file: Annotated[Path | None, typer.Option(
            '--json', help='Write the numbers to this file.')] = None) -> None:
    """Score the models on labelled photographs."""
    with one_line_errors():
        from tunnel_crack_ros.evaluation.evaluate import evaluate as score
        from tunnel_crack_ros.evaluation.evaluate import load_model
        from tunnel_crack_ros.vision.model_folder import model_set
        if beside and figures is None:
            raise ValueError('--beside names models for the figures; expected --figures, too')
        for name in beside or ():
            load_model(name)    # a wrong one is told before all is scored
        chosen = model_set(models)
        with progress_bars() as bars:
            judge, outliner = classifier or chosen.classifier, segmenter or chosen.segmenter
            report = score(data, split, source or None, judge, outliner,
                           progress=moving_bar(bars, 'Evaluating'), only=only)
    if report.split != split:
        console.print(f'[yellow]warning:[/yellow] {escape(str(data))} has no splits: all of it is '
                      'scored, what a network was trained on too', soft_wrap=True)
    with saved_json(json_file, report.to_json_dict()):
        for table in report.tables():
            output.print(table)
    if figures is not None:
        with one_line_errors():
            from tunnel_crack_ros.evaluation.draw_evaluation import draw_evaluation
            drawn = draw_evaluation(report, figures, [judge, outliner, *(beside or ())])
        print('  '.join(map(str, drawn)))
