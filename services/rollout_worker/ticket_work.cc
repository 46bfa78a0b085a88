#include "services/rollout_worker/ticket_work.h"

#include <algorithm>
#include <string>
#include <utility>

#include "common/base/status_macros.h"
#include "common/experience/limits.h"
#include "common/experience/wire.h"
#include "common/rpc/status.h"
#include "common/sim/clip.h"

namespace backflip::rollout_worker {
namespace {

constexpr int kMostRecordingSteps = 1000;

sim::EnvironmentState FromProto(const v1::EnvironmentState& state) {
  return {.physics = {state.physics().begin(), state.physics().end()},
          .episode_step = state.episode_step(),
          .noise = {state.noise().begin(), state.noise().end()},
          .rng_seed = state.rng_seed(),
          .rng_counter = state.rng_counter()};
}

void ToProto(const sim::EnvironmentState& state, v1::EnvironmentState* proto) {
  proto->mutable_physics()->Add(state.physics.begin(), state.physics.end());
  proto->set_episode_step(state.episode_step);
  proto->mutable_noise()->Add(state.noise.begin(), state.noise.end());
  proto->set_rng_seed(state.rng_seed);
  proto->set_rng_counter(state.rng_counter);
}

// A clip as the broker gets it, with where it comes from.
v1::Clip ClipOf(const v1::Ticket& ticket, const sim::Task& task, const experience::Clip& from) {
  v1::Clip clip;
  experience::ToProto(from, task.bodies(), &clip);
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
      environment.episode_step = start.episode_step();
    }
  }
  return result;
}

v1::Rollout LearnerRollout(const v1::Ticket& ticket, const sim::Rollout& rollout,
                           bool true_rewards) {
  v1::Rollout result;
  result.set_iteration(ticket.iteration());
  result.set_index(ticket.index());
  result.set_policy_version(ticket.policy_version());
  result.set_purpose(ticket.purpose());
  for (size_t i = 0; i < rollout.trajectories.size(); ++i) {
    v1::Trajectory* to = result.add_trajectories();
    experience::ToProto(rollout.trajectories[i], to);
    if (!true_rewards) to->clear_true_rewards();
    if (ticket.purpose() == v1::COLLECT) ToProto(rollout.ends[i], to->mutable_end());
  }
  return result;
}

v1::TicketFailure FailureOf(const v1::Ticket& ticket, const absl::Status& reason) {
  v1::TicketFailure failure;
  failure.set_iteration(ticket.iteration());
  failure.set_index(ticket.index());
  failure.set_purpose(ticket.purpose());
  failure.set_reason(rpc::Sentence(reason.message()));
  return failure;
}

absl::StatusOr<std::vector<v1::Clip>> Candidates(const v1::Ticket& ticket, const sim::Task& task,
                                                 const sim::Rollout& rollout, int count) {
  ASSIGN_OR_RETURN(const std::vector<experience::Clip> clips,
                   sim::CutClips(task, rollout, count, ticket.clip_seed()));
  std::vector<v1::Clip> candidates;
  for (const experience::Clip& from : clips) {
    const int index = static_cast<int>(candidates.size());
    v1::Clip& clip = candidates.emplace_back();
    clip = ClipOf(ticket, task, from);
    clip.set_index(index);
  }
  return candidates;
}

std::vector<v1::Evaluation> Evaluations(const v1::Ticket& ticket, const sim::Task& task,
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

v1::Clip RecordingOf(const v1::Ticket& ticket, const sim::Task& task, const sim::Rollout& rollout) {
  const size_t step_bytes =
      sizeof(float) * (task.observation_size() + task.action_size() + 7 * task.bodies()) +
      sizeof(double) * task.state_size();
  const int most =
      std::clamp<int>(experience::kMaxPayloadBytes / step_bytes, 1, kMostRecordingSteps);
  return ClipOf(ticket, task, sim::FirstEpisode(task, rollout, most));
}

}  // namespace backflip::rollout_worker
