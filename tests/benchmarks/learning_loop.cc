// The loop of one run in one process: simulate, reward, update, compare, fit, in
// lockstep, with an oracle that compares sums of the task's true reward. No
// services, no database: for finding settings, and for seeing where time goes.
//
//   learning_loop [--task=tasks/hopper_backflip] [--spec=FILE] [--seed=1]
//                 [--threads=1] [--every=10]
//
// FILE is a RunSpec in protobuf's text format, laid over the task's defaults.
// Prints a line every `every` iterations, the kept snapshots, and the best of
// them by predicted return (true return with `reward: TRUE`) on fresh episodes.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/status/status.h"
#include "common/base/status_macros.h"
#include "common/learn/ppo.h"
#include "common/learn/random.h"
#include "common/learn/reward_ensemble.h"
#include "common/learn/selector.h"
#include "common/learn/torch_runtime.h"
#include "common/nn/policy.h"
#include "common/nn/reward.h"
#include "common/run/run_spec.h"
#include "common/sim/compiled_task.h"
#include "common/sim/simulator.h"
#include "services/policy_learner/training_loop.h"
#include "services/reward_trainer/conversions.h"

ABSL_FLAG(std::string, task, "tasks/hopper_backflip", "task folder");
ABSL_FLAG(std::string, spec, "", "RunSpec, text format, over the defaults");
ABSL_FLAG(uint64_t, seed, 0, "overrides the spec's; 0 does not");
ABSL_FLAG(int, threads, 1, "simulation threads");
ABSL_FLAG(int, every, 10, "iterations between lines");

namespace backflip {
namespace {

using learn::KeyedRandom;

// Keys of draws.
enum : uint64_t { kStartDraws = 1, kClipDraws, kEvaluationDraws, kFinalDraws };

struct Candidate {
  learn::Clip clip;
  double true_return = 0;
};

double Seconds() {
  return std::chrono::duration<double>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// The services' own settings; draws are keyed by the run's seed alone.
learn::PpoConfig PpoOptions(const v1::RunSpec& spec) {
  learn::PpoConfig config = learner::PpoConfigOf(
      spec, spec.steps() / spec.collection().batch_steps());
  config.seed = spec.seed();
  return config;
}

learn::RewardEnsembleConfig EnsembleOptions(const v1::RunSpec& spec) {
  v1::Run run;
  *run.mutable_spec() = spec;
  learn::RewardEnsembleConfig config =
      reward_trainer::FitterConfigOf(run).ensemble;
  config.seed = spec.seed();
  return config;
}

// Means over evaluation episodes.
struct Evaluation {
  double predicted = 0;
  double true_return = 0;
  std::vector<double> metrics;
};

absl::StatusOr<Evaluation> Evaluate(sim::Simulator* simulator,
                                    const nn::Snapshot& snapshot, int episodes,
                                    uint64_t key, uint64_t seed,
                                    const nn::RewardModel* model) {
  ASSIGN_OR_RETURN(nn::Policy policy, nn::Policy::FromSnapshot(snapshot));
  sim::Ticket ticket;
  ticket.policy = std::make_shared<const nn::Policy>(std::move(policy));
  ticket.evaluation = true;
  ticket.steps = simulator->task().task().evaluation_steps();
  for (int i = 0; i < episodes; ++i) {
    ticket.environments.push_back({KeyedRandom(seed, key, i).Next(), {}});
  }
  ASSIGN_OR_RETURN(const sim::Rollout rollout, simulator->Run(ticket));
  Evaluation result;
  result.metrics.resize(simulator->task().metric_names().size());
  for (int i = 0; i < episodes; ++i) {
    const sim::Trajectory& t = rollout.trajectories[i];
    if (model != nullptr) {
      std::vector<float> rewards(ticket.steps);
      model->Score(t.observations.data(), t.actions.data(), ticket.steps,
                   rewards.data());
      for (const float r : rewards) result.predicted += r / episodes;
    }
    const sim::Truth::Episode& truth = rollout.truths[i].episodes.front();
    result.true_return += truth.true_return / episodes;
    for (size_t m = 0; m < result.metrics.size(); ++m) {
      result.metrics[m] += truth.metrics[m] / episodes;
    }
  }
  return result;
}

void PrintMetrics(const sim::CompiledTask& task,
                  const std::vector<double>& values) {
  for (size_t m = 0; m < values.size(); ++m) {
    std::printf(" %s %.2f", task.metric_names()[m].c_str(), values[m]);
  }
}

absl::Status Run() {
  learn::SetUpTorch();
  ASSIGN_OR_RETURN(const auto task,
                   sim::CompiledTask::FromFolder(absl::GetFlag(FLAGS_task)));
  v1::RunSpec spec =
      run::Overlay(run::DefaultRunSpec(), task->task().defaults());
  if (const std::string file = absl::GetFlag(FLAGS_spec); !file.empty()) {
    ASSIGN_OR_RETURN(const v1::RunSpec layer, run::ReadRunSpecFile(file));
    spec = run::Overlay(spec, layer);
  }
  if (absl::GetFlag(FLAGS_seed) != 0) spec.set_seed(absl::GetFlag(FLAGS_seed));
  RETURN_IF_ERROR(run::ValidateRunSpec(spec));
  if (!task->has_true_reward()) {
    return absl::InvalidArgumentError(
        "the oracle compares true returns: the task needs a true_reward");
  }
  const bool truth = spec.reward() == v1::TRUE;
  const int o = task->observation_size(), a = task->action_size();
  const int k = task->task().clip().steps();
  const int environments = spec.collection().environments();
  const int64_t batch_steps = spec.collection().batch_steps();
  const int64_t iterations = spec.steps() / batch_steps;
  ASSIGN_OR_RETURN(const auto simulator,
                   sim::Simulator::Start(task, absl::GetFlag(FLAGS_threads)));
  ASSIGN_OR_RETURN(const auto ppo, learn::Ppo::Create(PpoOptions(spec), o, a));
  ASSIGN_OR_RETURN(const auto ensemble, learn::RewardEnsemble::Create(
                                            EnsembleOptions(spec), o, a));

  std::vector<sim::EnvironmentStart> starts(environments);
  for (int i = 0; i < environments; ++i) {
    starts[i].reset_seed = KeyedRandom(spec.seed(), kStartDraws, i).Next();
  }
  std::deque<Candidate> pool;
  int64_t labels = 0;
  std::vector<std::pair<int64_t, nn::Snapshot>> kept;
  learn::RewardTrainingStats fit;
  double simulating = 0, updating = 0, fitting = 0;
  const double begin = Seconds();

  for (int64_t iteration = 0; iteration < iterations; ++iteration) {
    // collect
    const double t0 = Seconds();
    ASSIGN_OR_RETURN(nn::Policy policy,
                     nn::Policy::FromSnapshot(ppo->ToSnapshot()));
    sim::Ticket ticket;
    ticket.policy = std::make_shared<const nn::Policy>(std::move(policy));
    ticket.environments = starts;
    ticket.steps = static_cast<int32_t>(batch_steps / environments);
    ASSIGN_OR_RETURN(sim::Rollout rollout, simulator->Run(std::move(ticket)));

    // cut at episode ends, and into candidates
    std::vector<learn::Trajectory> batch;
    std::vector<Candidate> fresh;
    std::vector<float> observations, actions;
    std::vector<double> metrics(task->metric_names().size());
    KeyedRandom offsets(spec.seed(), kClipDraws, iteration);
    double true_sum = 0;
    for (int e = 0; e < environments; ++e) {
      const sim::Trajectory& t = rollout.trajectories[e];
      const std::vector<float>& rewards = rollout.truths[e].true_rewards;
      starts[e].state = t.end;
      observations.insert(observations.end(), t.observations.begin(),
                          t.observations.end());
      actions.insert(actions.end(), t.actions.begin(), t.actions.end());
      for (const float r : rewards) true_sum += r;
      for (const auto& episode : rollout.truths[e].episodes) {
        for (size_t m = 0; m < metrics.size(); ++m) {
          metrics[m] += episode.metrics[m];
        }
      }
      const int steps = static_cast<int>(rewards.size());
      std::vector<int32_t> ends = t.episode_ends;
      if (ends.empty() || ends.back() != steps - 1) ends.push_back(steps - 1);
      int first = 0;
      for (size_t i = 0; i < ends.size(); ++i) {
        const int end = ends[i] + 1;
        learn::Trajectory piece;
        piece.episode_ended = i < t.episode_ends.size();
        piece.observations.assign(t.observations.begin() + first * o,
                                  t.observations.begin() + end * o);
        const float* last = piece.episode_ended ? &t.end_observations[i * o]
                                                : t.last_observation.data();
        piece.observations.insert(piece.observations.end(), last, last + o);
        piece.actions.assign(t.actions.begin() + first * a,
                             t.actions.begin() + end * a);
        piece.log_probabilities.assign(t.log_probs.begin() + first,
                                       t.log_probs.begin() + end);
        piece.rewards.assign(rewards.begin() + first, rewards.begin() + end);
        batch.push_back(std::move(piece));
        const int slack = (end - first) % k;
        for (int c = first + static_cast<int>(offsets.Below(slack + 1));
             c + k <= end; c += k) {
          Candidate& candidate = fresh.emplace_back();
          candidate.clip.observations.assign(t.observations.begin() + c * o,
                                             t.observations.begin() + (c + k) * o);
          candidate.clip.actions.assign(t.actions.begin() + c * a,
                                        t.actions.begin() + (c + k) * a);
          for (int s = c; s < c + k; ++s) candidate.true_return += rewards[s];
        }
        first = end;
      }
    }
    const double t1 = Seconds();
    simulating += t1 - t0;

    // reward and update; the first batch only gives candidates
    if (!truth && iteration > 0) {
      ASSIGN_OR_RETURN(const std::vector<float> rewards,
                       ensemble->Score(observations, actions));
      size_t next = 0;
      for (learn::Trajectory& t : batch) {
        for (float& r : t.rewards) r = rewards[next++];
      }
    }
    learn::PpoStats stats;
    if (truth || iteration > 0) {
      ASSIGN_OR_RETURN(stats, ppo->Update(batch));
    }
    const double t2 = Seconds();
    updating += t2 - t1;

    // compare and fit, from candidates of the batches before
    if (!truth) {
      RETURN_IF_ERROR(ensemble->AddObservations(observations));
      const auto take = [&] {
        for (Candidate& c : fresh) pool.push_back(std::move(c));
        while (static_cast<int>(pool.size()) > spec.queries().pool()) {
          pool.pop_front();
        }
      };
      if (iteration == 0) take();
      const int64_t wanted =
          run::LabelsWantedAt(spec, iteration * batch_steps) - labels;
      if (wanted > 0) {
        std::vector<const learn::Clip*> candidates;
        for (const Candidate& c : pool) candidates.push_back(&c.clip);
        std::vector<learn::SelectedPair> pairs;
        // before the first round there is nothing to disagree with
        if (iteration == 0 || spec.queries().selector() == v1::RANDOM) {
          pairs = learn::SelectUniformly(static_cast<int>(pool.size()),
                                         static_cast<int>(wanted), spec.seed(),
                                         iteration);
        } else {
          ASSIGN_OR_RETURN(pairs, learn::SelectByDisagreement(
                                      *ensemble, candidates,
                                      static_cast<int>(wanted),
                                      spec.queries().oversampling(),
                                      spec.seed(), iteration));
        }
        for (const learn::SelectedPair& pair : pairs) {
          const Candidate &left = pool[pair.left], &right = pool[pair.right];
          const double more = left.true_return - right.true_return;
          learn::Label label{labels++, left.clip, right.clip, 0.5f};
          if (more != 0) label.left_preferred = more > 0 ? 1 : 0;
          RETURN_IF_ERROR(ensemble->AddLabel(label));
        }
      }
      ASSIGN_OR_RETURN(fit, ensemble->Train(
                                iteration == 0
                                    ? spec.reward_model().initial_updates()
                                    : spec.reward_model().updates_per_round()));
      if (iteration > 0) take();
      std::vector<float> new_observations, new_actions;
      for (size_t i = pool.size() - std::min<size_t>(pool.size(), 256);
           i < pool.size(); ++i) {
        const learn::Clip& clip = pool[i].clip;
        new_observations.insert(new_observations.end(),
                                clip.observations.begin(),
                                clip.observations.end());
        new_actions.insert(new_actions.end(), clip.actions.begin(),
                           clip.actions.end());
      }
      RETURN_IF_ERROR(
          ensemble->NormalizeMembers(new_observations, new_actions));
    }
    fitting += Seconds() - t2;

    const int64_t done = iteration + 1;
    if (done * spec.kept_snapshots() / iterations >
        iteration * spec.kept_snapshots() / iterations) {
      kept.emplace_back(done * batch_steps, ppo->ToSnapshot());
    }
    if (done % absl::GetFlag(FLAGS_every) == 0 || done == iterations) {
      const double thousands = static_cast<double>(batch_steps) / 1000;
      for (double& m : metrics) m /= thousands;
      std::printf("%4lld steps %.2fM labels %lld | a 1000 steps: true %.0f",
                  static_cast<long long>(done), done * batch_steps / 1e6,
                  static_cast<long long>(labels), true_sum / thousands);
      PrintMetrics(*task, metrics);
      std::printf(
          " | accuracy %.2f loss %.3f/%.3f decay %.1e | std %.2f kl %.3f"
          " | simulate %.0f s update %.0f fit %.0f wall %.0f\n",
          fit.accuracy, fit.training_loss, fit.validation_loss,
          fit.weight_decay, stats.log_std, stats.kl, simulating, updating,
          fitting, Seconds() - begin);
      std::fflush(stdout);
    }
  }

  // the best of the kept snapshots, all scored by the last ensemble
  ASSIGN_OR_RETURN(const nn::RewardModel last,
                   nn::RewardModel::FromSnapshot(ensemble->ToSnapshot()));
  const nn::RewardModel* model = truth ? nullptr : &last;
  const nn::Snapshot* best = nullptr;
  double best_score = 0;
  for (size_t i = 0; i < kept.size(); ++i) {
    ASSIGN_OR_RETURN(const Evaluation e,
                     Evaluate(simulator.get(), kept[i].second, 10,
                              kEvaluationDraws, spec.seed(), model));
    std::printf("kept at %.2fM: predicted %.1f true %.0f",
                kept[i].first / 1e6, e.predicted, e.true_return);
    PrintMetrics(*task, e.metrics);
    std::printf("\n");
    const double score = truth ? e.true_return : e.predicted;
    if (best == nullptr || score > best_score) {
      best = &kept[i].second;
      best_score = score;
    }
  }
  if (best == nullptr) return absl::InternalError("no snapshot was kept");
  ASSIGN_OR_RETURN(const Evaluation e,
                   Evaluate(simulator.get(), *best, 20, kFinalDraws,
                            spec.seed(), model));
  std::printf("final: seed %llu labels %lld true %.0f",
              static_cast<unsigned long long>(spec.seed()),
              static_cast<long long>(labels), e.true_return);
  PrintMetrics(*task, e.metrics);
  std::printf(" wall %.0f s\n", Seconds() - begin);
  return absl::OkStatus();
}

}  // namespace
}  // namespace backflip

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  const absl::Status status = backflip::Run();
  if (!status.ok()) std::fprintf(stderr, "%s\n", status.ToString().c_str());
  return status.ok() ? 0 : 1;
}
