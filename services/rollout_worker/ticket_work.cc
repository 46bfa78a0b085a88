#include "services/rollout_worker/ticket_work.h"

#include <algorithm>
#include <string>
#include <utility>

#include "common/rpc/limits.h"
#include "common/sim/clip.h"

namespace backflip::rollout_worker {
namespace {

constexpr int kMostRecordingSteps = 1000;

template <typename Field, typename T>
void Copy(const std::vector<T>& values, Field* field) {
  field->Add(values.begin(), values.end());
}

sim::EnvironmentState FromProto(const v1::EnvironmentState& state) {
  return {.physics = {state.physics().begin(), state.physics().end()},
          .episode_step = state.episode_step(),
          .noise = {state.noise().begin(), state.noise().end()},
          .rng_seed = state.rng_seed(),
          .rng_counter = state.rng_counter()};
}

void ToProto(const sim::EnvironmentState& state, v1::EnvironmentState* proto) {
  Copy(state.physics, proto->mutable_physics());
  proto->set_episode_step(state.episode_step);
  Copy(state.noise, proto->mutable_noise());
  proto->set_rng_seed(state.rng_seed);
  proto->set_rng_counter(state.rng_counter);
}

v1::Clip ToProto(const v1::Ticket& ticket, const sim::CompiledTask& task, const sim::Clip& from) {
  v1::Clip clip;
  clip.set_steps(from.steps);
  Copy(from.observations, clip.mutable_observations());
  Copy(from.actions, clip.mutable_actions());
  clip.mutable_poses()->set_bodies(task.bodies());
  Copy(from.poses, clip.mutable_poses()->mutable_poses());
  Copy(from.states, clip.mutable_states());
  Copy(from.true_rewards, clip.mutable_true_rewards());
  clip.set_policy_version(ticket.policy_version());
  clip.set_iteration(ticket.iteration());
  clip.set_ticket(ticket.index());
  return clip;
}

}  // namespace

sim::Ticket SimulatorTicket(const v1::Ticket& ticket, std::shared_ptr<const nn::Policy> policy) {
  sim::Ticket result;
  result.policy = std::move(policy);
  result.evaluation = ticket.purpose() == v1::EVALUATE;
  result.steps = ticket.steps();
  result.episode_steps = ticket.episode_steps();
  for (const v1::EnvironmentStart& start : ticket.environments()) {
    sim::EnvironmentStart& environment = result.environments.emplace_back();
    if (start.has_state()) {
      environment.state = FromProto(start.state());
    } else {
      environment.reset_seed = start.reset_seed();
    }
  }
  return result;
}

v1::Rollout LearnerRollout(const v1::Ticket& ticket, const sim::CompiledTask& task,
                           const sim::Rollout& rollout, bool true_rewards) {
  const bool collect = ticket.purpose() == v1::COLLECT;
  v1::Rollout result;
  result.set_iteration(ticket.iteration());
  result.set_index(ticket.index());
  result.set_policy_version(ticket.policy_version());
  result.set_purpose(ticket.purpose());
  for (size_t i = 0; i < rollout.trajectories.size(); ++i) {
    const sim::Trajectory& from = rollout.trajectories[i];
    v1::Trajectory* to = result.add_trajectories();
    Copy(from.observations, to->mutable_observations());
    Copy(from.actions, to->mutable_actions());
    Copy(from.episode_ends, to->mutable_episode_ends());
    Copy(from.end_observations, to->mutable_end_observations());
    Copy(from.last_observation, to->mutable_last_observation());
    if (collect) {
      Copy(from.log_probs, to->mutable_log_probs());
      ToProto(from.end, to->mutable_end());
    }
    if (true_rewards && task.has_true_reward()) {
      Copy(rollout.truths[i].true_rewards, to->mutable_true_rewards());
    }
  }
  return result;
}

std::vector<v1::Clip> Candidates(const v1::Ticket& ticket, const sim::CompiledTask& task,
                                 const sim::Rollout& rollout, int count) {
  std::vector<v1::Clip> candidates;
  for (const sim::Clip& from : sim::CutClips(task, rollout, count, ticket.clip_seed())) {
    const int index = static_cast<int>(candidates.size());
    v1::Clip& clip = candidates.emplace_back();
    clip = ToProto(ticket, task, from);
    clip.set_index(index);
  }
  return candidates;
}

std::vector<v1::Evaluation> Evaluations(const v1::Ticket& ticket, const sim::CompiledTask& task,
                                        const sim::Rollout& rollout) {
  const std::vector<std::string> metrics = task.metric_names();
  std::vector<v1::Evaluation> evaluations;
  for (size_t i = 0; i < rollout.truths.size(); ++i) {
    if (rollout.truths[i].episodes.empty()) continue;
    const sim::Truth::Episode& episode = rollout.truths[i].episodes.front();
    v1::Evaluation& evaluation = evaluations.emplace_back();
    evaluation.set_policy_version(ticket.policy_version());
    evaluation.set_iteration(ticket.iteration());
    evaluation.set_steps(ticket.steps_trained());
    evaluation.set_episode(ticket.index() + static_cast<int>(i));
    evaluation.set_seed(ticket.environments(static_cast<int>(i)).reset_seed());
    if (task.has_true_reward()) evaluation.set_true_return(episode.true_return);
    for (size_t m = 0; m < metrics.size(); ++m) {
      (*evaluation.mutable_metrics())[metrics[m]] = episode.metrics[m];
    }
    evaluation.set_final(ticket.final());
  }
  return evaluations;
}

v1::Clip RecordingOf(const v1::Ticket& ticket, const sim::CompiledTask& task,
                     const sim::Rollout& rollout) {
  const size_t step_bytes =
      sizeof(float) * (task.observation_size() + task.action_size() + 7 * task.bodies()) +
      sizeof(double) * task.state_size();
  const int most = std::clamp<int>(rpc::kMaxPayloadBytes / step_bytes, 1, kMostRecordingSteps);
  v1::Clip recording = ToProto(ticket, task, sim::FirstEpisode(task, rollout, most));
  recording.clear_true_rewards();
  return recording;
}

}  // namespace backflip::rollout_worker
