#!/usr/bin/env python3
"""Stable-Baselines3's PPO on the paper's eight tasks: what Backflip's own RL is measured by.

    tools/yardstick_sb3.py --seeds 201-203 --out sb3.json
    tools/yardstick_sb3.py --tasks hopper --seeds 1 --steps 20000 --out hopper.json

Same tasks (their true rewards: tests/integration/gymnasium/paper_tasks.py), as many steps, as many
kept policies, evaluation episodes and final episodes as a run with `reward: TRUE` has; settings of
rl-baselines3-zoo (ppo.yml, commit 22e3ff2; those of the newest version of each environment that it
has). Writes one JSON object with a row for each run, after each run; what a file that is there has
is not run again. One run uses one core: start several, with a file each, for more.

The first start makes .dependencies/yardstick: Debian's torch, with the LibTorch that Backflip is
built on, unpacked and not installed; all else from PyPI. Needs python3-venv.
"""
import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

from measuring import ROOT, origin

HOME = ROOT / ".dependencies" / "yardstick"
# Those that Debian's torch and Stable-Baselines3 are for.
PACKAGES = ["gymnasium[mujoco]==1.0.0", "mujoco==4.0.0", "numpy==1.26.4", "cloudpickle==3.1.3", "matplotlib==3.9.2",
            "pandas==2.2.3", "typing_extensions"]
# Kept policies of a run, and episodes: as RunSpec.kept_snapshots and common/method/evaluation.h.
KEPT, EVALUATION_EPISODES, FINAL_EPISODES = 20, 10, 20

WIDE = {"log_std_init": -2, "ortho_init": False, "activation_fn": "ReLU", "net_arch": {"pi": [256, 256], "vf": [256, 256]}}
# Of PPO; all with normalised observations and rewards. What is not named is Stable-Baselines3's default.
SETTINGS = {
    "ant": {},
    "half_cheetah": dict(batch_size=64, n_steps=512, gamma=0.98, learning_rate=2.0633e-05, ent_coef=0.000401762,
                         clip_range=0.1, n_epochs=20, gae_lambda=0.92, max_grad_norm=0.8, vf_coef=0.58096,
                         policy_kwargs=WIDE),
    "hopper": dict(batch_size=32, n_steps=512, gamma=0.999, learning_rate=9.80828e-05, ent_coef=0.00229519,
                   clip_range=0.2, n_epochs=5, gae_lambda=0.99, max_grad_norm=0.7, vf_coef=0.835671,
                   policy_kwargs=WIDE),
    "inverted_double_pendulum": dict(batch_size=512, n_steps=128, gamma=0.98, learning_rate=0.000155454,
                                     ent_coef=1.05057e-06, clip_range=0.4, n_epochs=10, gae_lambda=0.8,
                                     max_grad_norm=0.5, vf_coef=0.695929),
    "inverted_pendulum": dict(batch_size=64, n_steps=32, gamma=0.999, learning_rate=0.000222425,
                              ent_coef=1.37976e-07, clip_range=0.4, n_epochs=5, gae_lambda=0.9, max_grad_norm=0.3,
                              vf_coef=0.19816),
    "reacher": dict(batch_size=32, n_steps=512, gamma=0.9, learning_rate=0.000104019, ent_coef=7.52585e-08,
                    clip_range=0.3, n_epochs=5, gae_lambda=1.0, max_grad_norm=0.9, vf_coef=0.950368),
    "swimmer": dict(gamma=0.9999, n_steps=1024, batch_size=256, learning_rate=6e-4, gae_lambda=0.98),
    "walker2d": dict(batch_size=32, n_steps=512, gamma=0.99, learning_rate=5.05041e-05, ent_coef=0.000585045,
                     clip_range=0.1, n_epochs=20, gae_lambda=0.95, max_grad_norm=1, vf_coef=0.871923),
}
ENVIRONMENTS = {"swimmer": 4}  # else 1


def install():
    """Makes HOME, or leaves nothing."""
    HOME.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=HOME.parent) as work:
        os.chmod(work, 0o755)  # apt's own user writes there
        subprocess.run(["/usr/bin/python3", "-m", "venv", f"{work}/venv"], check=True)
        subprocess.run(["apt-get", "download", "-q", "python3-torch"], check=True, cwd=work, stdout=subprocess.DEVNULL)
        package, = pathlib.Path(work).glob("python3-torch_*.deb")
        subprocess.run(["dpkg", "-x", package, f"{work}/torch"], check=True)
        packages, = pathlib.Path(work).glob("venv/lib/python3*/site-packages")
        (pathlib.Path(work) / "torch/usr/lib/python3/dist-packages").rename(packages / "debian")
        (packages / "debian.pth").write_text("debian\n")
        for library in (packages / "debian/torch/lib").iterdir():  # links to the libraries of libtorch-dev
            target = pathlib.Path(os.readlink(library))
            library.unlink()
            library.symlink_to(pathlib.Path("/usr/lib", *target.parts[-2:]))
        pip = [f"{work}/venv/bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, *PACKAGES], check=True)
        # its list of dependencies would bring PyPI's torch, of ten times the size
        subprocess.run([*pip, "--no-deps", "stable-baselines3==2.4.1"], check=True)
        os.rename(f"{work}/venv", HOME)


def use_own_python():
    if pathlib.Path(sys.prefix) == HOME:
        return
    if not HOME.exists():
        print(f"fetching Stable-Baselines3 into {HOME}", file=sys.stderr)
        install()
    os.execv(HOME / "bin" / "python", [HOME / "bin" / "python", *sys.argv])


def numbers(text):
    """ "1-3,7" as [1, 2, 3, 7]."""
    parts = [part.split("-") for part in text.split(",")]
    return [n for part in parts for n in range(int(part[0]), int(part[-1]) + 1)]


def default_steps(task):
    return int(re.search(r"defaults {\s*steps: (\d+)", (ROOT / "tasks" / task / "task.textproto").read_text())[1])


def run(task, seed, steps):
    """A row: the best of the kept policies on fresh episodes, by their true returns."""
    import copy

    import torch
    from paper_tasks import PaperTask
    from stable_baselines3 import PPO
    from stable_baselines3.common.evaluation import evaluate_policy
    from stable_baselines3.common.monitor import Monitor
    from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

    torch.set_num_threads(1)
    settings = dict(SETTINGS[task])
    if "policy_kwargs" in settings:
        settings["policy_kwargs"] = {**settings["policy_kwargs"], "activation_fn": torch.nn.ReLU}
    environments = DummyVecEnv([lambda: Monitor(PaperTask(task))] * ENVIRONMENTS.get(task, 1))
    training = VecNormalize(environments, gamma=settings.get("gamma", 0.99))
    model = PPO("MlpPolicy", training, seed=seed, device="cpu", **settings)

    def true_return(scale, episodes, seed):
        """Of the model as it is: mean actions, observations normalised by `scale`."""
        fresh = VecNormalize(DummyVecEnv([lambda: Monitor(PaperTask(task))]), training=False, norm_reward=False)
        fresh.obs_rms = scale
        fresh.seed(seed)
        return float(evaluate_policy(model, fresh, n_eval_episodes=episodes, deterministic=True)[0])

    begin = time.time()
    kept = []
    for part in range(1, KEPT + 1):
        model.learn(steps * part // KEPT - model.num_timesteps, reset_num_timesteps=False)
        policy, scale = copy.deepcopy(model.policy.state_dict()), copy.deepcopy(training.obs_rms)
        kept.append((true_return(scale, EVALUATION_EPISODES, seed), model.num_timesteps, policy, scale))
    _, best_at, policy, scale = max(kept, key=lambda one: one[0])
    model.policy.load_state_dict(policy)
    return {"task": task, "seed": seed, "steps": steps, "trained": model.num_timesteps, "best_at": best_at,
            "true_return": true_return(scale, FINAL_EPISODES, seed + 1_000_000),
            "wall_s": round(time.time() - begin, 1)}


def summary(rows):
    """By task: over seeds."""
    by_task = {}
    for row in rows:
        by_task.setdefault(row["task"], []).append(row["true_return"])
    return {task: {"seeds": len(returns), "mean_true_return": statistics.mean(returns)} for task, returns in by_task.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", default=",".join(SETTINGS), help="with commas; all eight unless given")
    parser.add_argument("--seeds", default="201-203", help="for example 201-203,210")
    parser.add_argument("--steps", type=int, default=0, help="of training; those of each task's `defaults` unless given")
    parser.add_argument("--out", required=True, type=pathlib.Path, help="the JSON file")
    flags = parser.parse_args()
    tasks = flags.tasks.split(",")
    if unknown := [task for task in tasks if task not in SETTINGS]:
        parser.error(f"there are no settings for {', '.join(unknown)}; there are for {', '.join(SETTINGS)}")
    use_own_python()
    sys.path.insert(0, str(ROOT / "tests" / "integration" / "gymnasium"))
    rows = json.loads(flags.out.read_text())["rows"] if flags.out.exists() else []
    for seed in numbers(flags.seeds):
        for task in tasks:
            steps = flags.steps or default_steps(task)
            if any((row["task"], row["seed"], row["steps"]) == (task, seed, steps) for row in rows):
                continue
            row = run(task, seed, steps)
            print(json.dumps(row), flush=True)
            rows.append(row)
            whole = pathlib.Path(f"{flags.out}.part")
            whole.write_text(json.dumps({**origin(), "summary": summary(rows), "rows": rows}, indent=1) + "\n")
            whole.rename(flags.out)


main()
