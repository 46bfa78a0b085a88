"""Steps Gymnasium's own environment from every state of a task's episodes, and compares.

    compare.py TASK EPISODES.json

Of each step the file has the action, and the state, observation and reward that it led to: the
task's (`reward`) and Gymnasium's, as the task language says it (`its_reward`).
"""
import json
import sys

import gymnasium
import mujoco
import numpy as np


def turning(at, positions):
    """The position `at` as sine and cosine after the other positions."""
    def arrange(obs):
        angle = obs[at]
        return np.concatenate([np.delete(obs[:positions], at), [np.sin(angle), np.cos(angle)], obs[positions:]])
    return arrange


def order(*indices):
    return lambda obs: obs[list(indices)]


def same(obs):
    return obs


# task: environment, its options, our order of its observation, our reward of its observation and terms
TASKS = {
    "reacher": ("Reacher-v5", {}, order(4, 5, 2, 0, 3, 1, 6, 7, 8, 9), lambda obs, info: info["reward_dist"]),
    "swimmer": ("Swimmer-v5", {}, turning(0, 3), lambda obs, info: info["reward_forward"]),
    "hopper": ("Hopper-v5", {}, turning(1, 5), lambda obs, info: info["reward_forward"] + obs[0]),
    "half_cheetah": ("HalfCheetah-v5", {}, turning(1, 8), lambda obs, info: info["reward_forward"]),
    "walker2d": ("Walker2d-v5", {}, turning(1, 8), lambda obs, info: info["reward_forward"] + obs[0] - 1),
    # the task observes no contact forces, and they cost nothing
    "ant": ("Ant-v5", {"include_cfrc_ext_in_observation": False, "contact_cost_weight": 0}, same,
            lambda obs, info: info["reward_forward"] + obs[0] - 1.2),
    "inverted_pendulum": ("InvertedPendulum-v5", {}, same, lambda obs, info: 1 - obs[1] ** 2),
    "inverted_double_pendulum": (
        "InvertedDoublePendulum-v5", {}, order(0, 1, 3, 2, 4, 5, 6, 7, 8),
        # the height of the tip: poles of 0.6 m, whose angles add up
        lambda obs, info: 10 + info["distance_penalty"] + info["velocity_penalty"]
        + 10 * (0.6 * obs[3] + 0.6 * (obs[3] * obs[4] - obs[1] * obs[2]) - 1)),
}


def main(task, path):
    name, options, arrange, reward_of = TASKS[task]
    env = gymnasium.make(name, disable_env_checker=True, max_episode_steps=1 << 30, **options).unwrapped
    env.reset(seed=0)
    simulate = env._step_mujoco_simulation

    def up_to_date(*args):
        # Gymnasium reads positions, and forces, that MuJoCo derived one physics step before
        simulate(*args)
        mujoco.mj_forward(env.model, env.data)

    env._step_mujoco_simulation = up_to_date
    nq, nv = env.model.nq, env.model.nv
    with open(path) as file:
        episodes = json.load(file)
    for number, episode in enumerate(episodes):
        state = episode["first_state"]
        for index, step in enumerate(episode["steps"]):
            env.set_state(np.array(state[1:1 + nq]), np.array(state[1 + nq:1 + nq + nv]))
            obs, reward, _, _, info = env.step(np.array(step["action"], np.float32) * env.action_space.high)
            state = step["state"]
            for what, its, ours in [
                    ("state", np.concatenate([env.data.qpos, env.data.qvel]), state[1:1 + nq + nv]),
                    ("observation", arrange(obs), step["observation"]),
                    ("reward", reward_of(obs, info), step["reward"]),
                    ("Gymnasium's reward", reward, step["its_reward"])]:
                if np.shape(its) != np.shape(ours) or not np.allclose(its, ours, rtol=1e-5, atol=1e-5):
                    sys.exit(f"{name}, episode {number}, step {index}: {what} is\n{its}\nthere, and here\n{ours}")


main(*sys.argv[1:])
