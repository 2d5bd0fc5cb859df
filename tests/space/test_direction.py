"""Whether more or less of a metric is better: never guessed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from conftest import REPO, Cli
from refusals import OWN, refused

from search.space.direction import BESIDE, LESS, MORE, direction_of
from search.space.file import load_space

Write = Callable[[str, str], Path]

LESS_IS_BETTER = """
    log_loss l1_loss time_seconds gpu_time mean_squared_error test_rmse fold_3/val_loss peak_memory mse-loss hinge_loss
    loss val_loss valLoss mse_loss train/loss loss_val rmse RMSE mae mse nll perplexity error_rate word_error_rate wer
    cross_entropy CrossEntropyLoss time train_time latency_ms seconds fid50k
"""
MORE_IS_BETTER = """
    val_balanced_acc val_f1 val_auroc top-5-acc acc1 F1Score average_precision_score cohen_kappa ema.val_acc cv_f1_mean
    acc val_acc testAccuracy balanced_accuracy acc_top5 acc@1 top1_acc f1 F1-macro macro_f1 auc roc_auc score score2
    mAP mAP50 mAP@50 r2 R2 mean_iou log_likelihood reward
"""
NOTHING = """
    value objective size lr epoch quality top5 neg_mse negative_log_likelihood accuracy_loss loss_drop error_score
    -loss +acc 1-acc 100-acc 1/loss loss*-1 acc^-1 !acc ~acc non_acc anti_score reverse_score penalty_score risk_score
    neglog_loss std_acc acc_std Δacc _acc acc_ (acc) acc% loss+mae acc-loss acc/acc acc-f1 train-val_loss val_1-acc
    acc--1 loss_ratio
    samples_per_second time_to_failure brier_score 1 valloss
"""
TOLD = {LESS_IS_BETTER: "minimize", MORE_IS_BETTER: "maximize", NOTHING: None}


def test_a_name_settles_its_direction_only_if_all_its_words_are_known() -> None:
    for names, direction in TOLD.items():
        assert {name: direction_of(name) for name in names.split()} == dict.fromkeys(names.split(), direction)


def test_the_page_shows_the_words() -> None:
    page = (REPO / "docs" / "spaces.md").read_text(encoding="utf-8")
    for words in (LESS, MORE, BESIDE):
        assert ", ".join(f"`{word}`" for word in sorted(words)) in page


def test_a_metric_whose_name_tells_nothing_is_asked_about(cli: Cli, write: Write, sys_path: None) -> None:
    write("s.py", OWN.replace('"score"', '"quality"'))
    said = refused(cli, "run", "s.py", "--engine", "inline")
    assert said == (
        "search: s.py:3: metric = 'quality' does not tell whether more or less of it is better: "
        'write direction = "maximize" or direction = "minimize"'
    )
    assert load_space(write("t.py", f'{OWN.replace("score", "quality")}direction = "minimize"')).direction == "minimize"
    assert load_space(write("u.py", f'{OWN.replace("score", "rmse")}direction = "maximize"')).direction == "maximize"


def test_the_first_line_of_a_run_says_the_direction(cli: Cli, write: Write, sys_path: None) -> None:
    write("s.py", OWN.replace("score", "rmse"))
    result = cli("run", "s.py", "--engine", "inline", "--trials", 5)
    assert result.out.splitlines()[0] == "minimise rmse"
    rows = [line for line in result.out.splitlines() if line.startswith("| ")][1:]
    values = [float(line.split("|")[-2]) for line in rows]
    assert len(values) == 5
    assert values == sorted(values)
    write("s.py", f'{OWN.replace("score", "rmse")}direction = "maximize"')
    said = cli("run", "s.py", "--engine", "inline", "--trials", 6).err
    assert "the study 's' is to minimize its rmse; use --name, or go on with it by direction = \"minimize\"" in said
