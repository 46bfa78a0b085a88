"""Steps Gymnasium's own environment from every state of a task's episodes, and compares.

    compare.py TASK EPISODES.json

Of each step the file has the action, and the state, observation and reward that it led to: the
task's (`reward`) and Gymnasium's, as the task language says it (`its_reward`).
"""
import json
import sys

import numpy as np

from paper_tasks import PaperTask


def main(task, path):
    env = PaperTask(task)
    nq, nv = env.its.model.nq, env.its.model.nv
    with open(path) as file:
        episodes = json.load(file)
    for number, episode in enumerate(episodes):
        state = episode["first_state"]
        for index, step in enumerate(episode["steps"]):
            env.place(state[1:1 + nq], state[1 + nq:1 + nq + nv])
            obs, reward, _, _, info = env.step(step["action"])
            state = step["state"]
            for what, its, ours in [
                    ("state", np.concatenate([env.its.data.qpos, env.its.data.qvel]), state[1:1 + nq + nv]),
                    ("observation", obs, step["observation"]),
                    ("reward", reward, step["reward"]),
                    ("Gymnasium's reward", info["its_reward"], step["its_reward"])]:
                if np.shape(its) != np.shape(ours) or not np.allclose(its, ours, rtol=1e-5, atol=1e-5):
                    sys.exit(f"{task}, episode {number}, step {index}: {what} is\n{its}\nthere, and here\n{ours}")


main(*sys.argv[1:])
