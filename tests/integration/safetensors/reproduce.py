"""Recomputes a policy's actions and an ensemble's rewards from their snapshots.

usage: reproduce.py FOLDER

FOLDER holds policy.safetensors, reward.safetensors, and float32 files:
observations [n, o], actions [n, a]. Writes policy_actions [n, a] and rewards [n].
"""
import sys

import numpy as np
from safetensors import safe_open


def load(path):
    with safe_open(path, "numpy") as f:
        return {k: f.get_tensor(k) for k in f.keys()}, f.metadata()


def policy_actions(path, observations):
    t, meta = load(path)
    clip = float(meta["observation_clip"])
    x = np.clip((observations - t["observation_mean"]) / t["observation_std"], -clip, clip)
    last = len(meta["layers"].split(",")) - 2
    for i in range(last + 1):
        x = x @ t[f"layer{i}.weight"] + t[f"layer{i}.bias"]
        x = x if i == last else np.tanh(x)
    return x


def rewards(path, observations, actions):
    t, meta = load(path)
    clip = float(meta["observation_clip"])
    bound = float(meta["action_clip"])
    inputs = np.concatenate(
        [np.clip((observations - t["observation_mean"]) / t["observation_std"], -clip, clip),
         np.clip(actions, -bound, bound)], axis=1)
    last = len(meta["layers"].split(",")) - 2
    members = []
    for m in range(int(meta["members"])):
        x = inputs
        for i in range(last + 1):
            x = x @ t[f"layer{i}.weight"][m] + t[f"layer{i}.bias"][m]
            x = x if i == last else np.where(x > 0, x, 0.01 * x)
        members.append((x[:, 0] - t["member_mean"][m]) / t["member_std"][m])
    return np.mean(members, axis=0)


def main(folder):
    policy = f"{folder}/policy.safetensors"
    reward = f"{folder}/reward.safetensors"
    o = load(policy)[0]["observation_mean"].size
    observations = np.fromfile(f"{folder}/observations", np.float32).reshape(-1, o)
    actions = np.fromfile(f"{folder}/actions", np.float32).reshape(len(observations), -1)
    policy_actions(policy, observations).astype(np.float32).tofile(f"{folder}/policy_actions")
    rewards(reward, observations, actions).astype(np.float32).tofile(f"{folder}/rewards")


main(sys.argv[1])
