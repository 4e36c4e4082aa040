"""The contract of every listed metric: whoever adds one to the tuple is tested here."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from tests.metrics.samples import CLASSES, random_maps, sample_set, write_maps
from transfer.errors import UnknownName
from transfer.metrics.invariants import check_scores
from transfer.metrics.metric import Files
from transfer.metrics.registry import METRICS, find_metric
from transfer.schemas.annotations import ANNOTATIONS

each_metric = pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)


@pytest.fixture
def files(metric, tmp_path, written):
    if metric.form.folder:
        return Files(*write_maps(tmp_path, random_maps()), CLASSES)
    return Files(*written(*reversed(sample_set())))


@each_metric
def test_a_metric_returns_the_scores_that_it_names(metric, files):
    scores = metric.evaluate(files)
    prefixes = tuple(prefix for _, prefix in metric.means)
    assert tuple(name for name in scores if not (prefixes and name.startswith(prefixes))) == metric.scores
    assert all(type(value) is float for value in scores.values())
    check_scores(metric, scores)


@each_metric
def test_the_headline_can_be_resampled(metric, files):
    assert set(metric.headline) <= set(metric.scores)
    images = metric.form.images(files)
    assert images == sorted(images)
    scores = metric.resample(files, metric.headline)(np.ones(len(images)))
    assert {name: scores[name] for name in metric.headline} == pytest.approx(
        {name: metric.evaluate(files)[name] for name in metric.headline}, rel=0, abs=1e-12
    )


@each_metric
def test_a_metric_can_be_sent_to_another_process(metric):
    assert pickle.loads(pickle.dumps(metric)) == metric


def test_names_and_definitions_are_different():
    assert len({metric.name for metric in METRICS}) == len({metric.definition for metric in METRICS}) == len(METRICS)
    assert {metric.annotations for metric in METRICS} <= set(ANNOTATIONS)


def test_an_unknown_name():
    with pytest.raises(UnknownName, match=r"there is no metric 'box'\. Did you mean bbox"):
        find_metric("box")
