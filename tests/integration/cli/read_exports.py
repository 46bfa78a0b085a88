"""Reads what is exported as its own libraries do, and prints what it found as JSON.

usage: read_exports.py bpref|numpy|imitation FILE.npz
       read_exports.py tensorboard FOLDER
"""
import json
import sys

import numpy as np


def bpref(path):
    # as B-Pref's RewardModel.put_queries copies them into its buffers
    data = np.load(path)
    first, second, label = (data[f"buffer_{name}"] for name in ("seg1", "seg2", "label"))
    assert first.dtype == second.dtype == label.dtype == np.float32
    return {"shape": list(first.shape), "same": first.shape == second.shape, "label": label.tolist(),
            "first": first[0, 0].tolist(), "second": second[0, 0].tolist()}


def as_pairs(trajectories, preferences):
    assert preferences.dtype == np.float32
    pairs = list(zip(trajectories[0::2], trajectories[1::2]))
    return {"pairs": len(pairs), "preferences": preferences.tolist(),
            "steps": [len(acts) for _, acts in trajectories],
            "moments": [len(obs) for obs, _ in trajectories],
            "first": pairs[0][0][0][0].tolist(), "second": pairs[0][1][0][0].tolist()}


def by_numpy(path):
    # the steps of imitation.data.serialize.load
    data = np.load(path)
    n = len(data["indices"])
    fields = [np.split(data["obs"], data["indices"] + np.arange(n) + 1), np.split(data["acts"], data["indices"]),
              np.split(data["infos"], data["indices"]), data["terminal"]]
    return as_pairs([(obs, acts) for obs, acts, _, _ in zip(*fields)], data["preferences"])


def by_imitation(path):
    from imitation.algorithms.preference_comparisons import PreferenceDataset
    from imitation.data import serialize

    trajectories = serialize.load(path)
    preferences = np.load(path)["preferences"]
    dataset = PreferenceDataset()
    dataset.push(list(zip(trajectories[0::2], trajectories[1::2])), preferences)
    assert len(dataset) == len(preferences)
    return as_pairs([(t.obs, t.acts) for t in trajectories], preferences)


def tensorboard(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(folder)
    events.Reload()
    return {tag: [[e.step, e.value, e.wall_time] for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


read = {"tensorboard": tensorboard, "bpref": bpref, "numpy": by_numpy, "imitation": by_imitation}[sys.argv[1]]
print("RESULT " + json.dumps(read(sys.argv[2])))
