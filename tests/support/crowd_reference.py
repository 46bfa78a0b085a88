#!/usr/bin/env python3
"""Makes the reference that agreement and reliability are tested against: a synthetic crowd, and what
Crowd-Kit finds in it.

    python3 -m venv crowd && crowd/bin/pip install crowd-kit==1.4.2
    crowd/bin/python tests/support/crowd_reference.py \\
        > tests/unit/services/preference_broker/trust/crowd_reference.json

The crowd comes from a fixed seed. Values: 0 the first clip of a pair is better, 1 equally good, 2 the second.
"""
import json
import math
from importlib.metadata import version

import numpy
import pandas
from crowdkit.aggregation import DawidSkene, NoisyBradleyTerry
from crowdkit.metrics.data import alpha_krippendorff
from scipy.optimize import minimize
from scipy.special import expit

SEED = 20240607
EM_STEPS = 60
CLIPS, PAIRS, VOTES_PER_PAIR = 40, 240, 5
# how often the answer is what was seen; the others answer as their name says
LABELERS = [("careful", 0.97), ("careful", 0.95), ("careful", 0.93), ("good", 0.9), ("good", 0.88), ("good", 0.85),
            ("hasty", 0.7), ("random", 0), ("inverted", 0.9), ("left", 0)]


def crowd():
    draw = numpy.random.default_rng(SEED)
    worth = draw.normal(0, 1.5, CLIPS)
    pairs = [[int(clip) for clip in draw.choice(CLIPS, 2, replace=False)] for _ in range(PAIRS)]
    votes = []
    for pair, (first, second) in enumerate(pairs):
        for labeler in sorted(draw.choice(len(LABELERS), VOTES_PER_PAIR, replace=False)):
            kind, right = LABELERS[labeler]
            difference = worth[first] - worth[second] + draw.logistic(0, 0.3)
            seen = 1 if abs(difference) < 0.35 else 0 if difference > 0 else 2
            value = {"random": int(draw.integers(3)), "left": 0}.get(kind)
            if value is None:
                value = seen if draw.random() < right else int(draw.integers(3))
                if kind == "inverted":
                    value = 2 - value
            votes.append([pair, int(labeler), int(value)])
    return worth, pairs, votes


def krippendorff(votes):
    frame = pandas.DataFrame(votes, columns=["task", "worker", "label"])
    frame = frame[frame.groupby("task")["label"].transform("size") >= 2]
    given = frame["label"].value_counts().to_dict()

    # Krippendorff (2011), section D: Crowd-Kit leaves the distance to its caller
    def ordinal(a, b):
        low, high = min(a, b), max(a, b)
        return (sum(given.get(g, 0) for g in range(low, high + 1)) - (given[low] + given[high]) / 2) ** 2

    return {"nominal": alpha_krippendorff(frame), "ordinal": alpha_krippendorff(frame, ordinal)}


def dawid_skene(votes):
    frame = pandas.DataFrame(votes, columns=["task", "worker", "label"])
    # a number of steps, so that nobody need agree on when to stop
    fit = DawidSkene(n_iter=EM_STEPS, tol=-math.inf).fit(frame)
    confusion = [[[float(fit.errors_[true].get((labeler, given), 0)) for given in range(3)] for true in range(3)]
                 for labeler in range(len(LABELERS))]
    return {"iterations": EM_STEPS, "truth": fit.probas_.sort_index()[[0, 1, 2]].values.tolist(), "confusion": confusion,
            "prior": [float(fit.priors_[value]) for value in range(3)]}


def noisy_bradley_terry(pairs, votes):
    """The model knows no ties: their votes are left out."""
    rows = [[labeler, *pairs[pair], pairs[pair][value // 2]] for pair, labeler, value in votes if value != 1]
    frame = pandas.DataFrame(rows, columns=["worker", "left", "right", "label"])
    model = NoisyBradleyTerry(n_iter=2000, tol=1e-12)
    fit = model.fit(frame)
    # Its gradient keeps only the last vote of each labeler (it assigns where it
    # should add), so that it ends away from the optimum of its own likelihood;
    # and its regularisation has the sign that drives scores apart. Here that
    # likelihood alone is climbed, by differences, within bounds.
    data = numpy.array([[left, right, label] for _, left, right, label in rows]) + 1
    workers = numpy.array([labeler for labeler, *_ in rows])
    numpy.random.seed(0)
    start = numpy.random.rand(1 + CLIPS + 2 * len(LABELERS))
    best = minimize(NoisyBradleyTerry._compute_log_likelihood, start, method="L-BFGS-B",
                    args=(data, workers, CLIPS, len(LABELERS), 0), bounds=[(-10, 10)] * len(start),
                    options={"maxiter": 5000, "maxfun": 5_000_000, "ftol": 1e-13, "gtol": 1e-7})
    skills = slice(1 + CLIPS + len(LABELERS), None)
    biases = slice(1 + CLIPS, 1 + CLIPS + len(LABELERS))
    return {"skills": [float(fit.skills_[k]) for k in range(len(LABELERS))],
            "biases": [float(fit.biases_[k]) for k in range(len(LABELERS))],
            "optimum": {"log_likelihood": float(-best.fun),
                        "scores": [float(score - best.x[1:1 + CLIPS].mean()) for score in best.x[1:1 + CLIPS]],
                        "skills": expit(best.x[skills]).tolist(), "biases": expit(best.x[biases]).tolist()}}


def rounded(value):
    if isinstance(value, float):
        assert math.isfinite(value)
        return float(f"{value:.10g}")
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, list) else value


def main():
    worth, pairs, votes = crowd()
    reference = {
        "made_by": "tests/support/crowd_reference.py",
        "versions": {name: version(name) for name in ("crowd-kit", "nltk", "numpy", "pandas", "scipy")},
        "seed": SEED, "labelers": [{"kind": kind, "right": right} for kind, right in LABELERS],
        "worth": worth.tolist(), "pairs": pairs, "votes": votes, "krippendorff": krippendorff(votes),
        "dawid_skene": dawid_skene(votes), "noisy_bradley_terry": noisy_bradley_terry(pairs, votes)}
    # a line for each part
    print("{" + ",\n".join(f'"{key}": {json.dumps(rounded(value))}' for key, value in reference.items()) + "}")


main()
