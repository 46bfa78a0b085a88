"""Backflip's versions of the paper's eight tasks, on Gymnasium's own environments.

What the paper changed is changed here: another reward, no end of an episode but after its steps,
observation and reset as in the task's file. gymnasium_test holds this to Backflip's simulator step
for step; tools/yardstick_sb3.py trains on it.
"""
import pathlib
import re

import gymnasium
import mujoco
import numpy as np

FOLDER = pathlib.Path(__file__).resolve().parents[3] / "tasks"


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


class PaperTask(gymnasium.Env):
    """Actions are numbers in [-1, 1], as in Backflip. info["its_reward"] is Gymnasium's own."""

    def __init__(self, task):
        name, options, self.arrange, self.reward_of = TASKS[task]
        self.its = gymnasium.make(name, disable_env_checker=True, max_episode_steps=1 << 30, **options).unwrapped
        self.its.reset(seed=0)
        simulate = self.its._step_mujoco_simulation

        def up_to_date(*args):
            # Gymnasium reads positions, and forces, that MuJoCo derived one physics step before
            simulate(*args)
            mujoco.mj_forward(self.its.model, self.its.data)

        self.its._step_mujoco_simulation = up_to_date
        self.text = (FOLDER / task / "task.textproto").read_text()
        self.episode_steps = int(self.number("episode_steps"))
        self.step_count = 0
        self.action_space = gymnasium.spaces.Box(-1, 1, self.its.action_space.shape, np.float32)
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, self.observed().shape, np.float64)

    def number(self, field):
        """A number that the task's file gives once."""
        return float(re.search(rf"\b{field}: ([\d.e+]+)", self.text)[1])

    def observed(self):
        return self.arrange(self.its._get_obs())

    def place(self, positions, velocities):
        """Sets the state; returns the observation."""
        self.its.set_state(np.asarray(positions), np.asarray(velocities))
        return self.observed()

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.step_count = 0
        model, uniform = self.its.model, self.np_random.uniform
        positions = model.qpos0 + uniform(-1, 1, model.nq) * self.number("qpos_noise")
        velocities = uniform(-1, 1, model.nv) * self.number("qvel_noise")
        drawn = r'joint { name: "(\w+)" position { from: (\S+) to: (\S+) } velocity {} }'
        for joint, low, high in re.findall(drawn, self.text):
            at = model.joint(joint)
            positions[at.qposadr] = uniform(float(low), float(high))
            velocities[at.dofadr] = 0
        return self.place(positions, velocities), {}

    def step(self, action):
        obs, its_reward, _, _, info = self.its.step(np.asarray(action, np.float32) * self.its.action_space.high)
        self.step_count += 1
        info["its_reward"] = its_reward
        return self.arrange(obs), self.reward_of(obs, info), False, self.step_count >= self.episode_steps, info
