#include "common/experience/wire.h"

#include "absl/strings/str_cat.h"

namespace backflip::experience {
namespace {

template <typename Field, typename T>
void Copy(const std::vector<T>& values, Field* field) {
  field->Add(values.begin(), values.end());
}

v1::End ToProto(End end) {
  switch (end) {
    case End::kNone:
      return v1::END_UNSPECIFIED;
    case End::kTimeLimit:
      return v1::TIME_LIMIT;
    case End::kTerminal:
      return v1::TERMINAL;
    case End::kDiverged:
      return v1::DIVERGED;
  }
  return v1::END_UNSPECIFIED;
}

End FromProto(int end) {
  switch (end) {
    case v1::TERMINAL:
      return End::kTerminal;
    case v1::DIVERGED:
      return End::kDiverged;
    default:
      return End::kTimeLimit;
  }
}

}  // namespace

void ToProto(const Trajectory& trajectory, v1::Trajectory* proto) {
  Copy(trajectory.observations, proto->mutable_observations());
  Copy(trajectory.actions, proto->mutable_actions());
  Copy(trajectory.log_probs, proto->mutable_log_probs());
  for (const EpisodeEnd& end : trajectory.episode_ends) {
    proto->add_episode_ends(end.step);
    proto->add_end_reasons(ToProto(end.reason));
  }
  Copy(trajectory.end_observations, proto->mutable_end_observations());
  Copy(trajectory.last_observation, proto->mutable_last_observation());
  Copy(trajectory.true_rewards, proto->mutable_true_rewards());
}

Trajectory FromProto(const v1::Trajectory& proto, int action_size) {
  Trajectory trajectory;
  trajectory.steps = proto.actions_size() / action_size;
  trajectory.observations.assign(proto.observations().begin(), proto.observations().end());
  trajectory.actions.assign(proto.actions().begin(), proto.actions().end());
  trajectory.log_probs.assign(proto.log_probs().begin(), proto.log_probs().end());
  for (int i = 0; i < proto.episode_ends_size(); ++i) {
    const End reason =
        i < proto.end_reasons_size() ? FromProto(proto.end_reasons(i)) : End::kTimeLimit;
    trajectory.episode_ends.push_back({proto.episode_ends(i), reason});
  }
  trajectory.end_observations.assign(proto.end_observations().begin(),
                                     proto.end_observations().end());
  trajectory.last_observation.assign(proto.last_observation().begin(),
                                     proto.last_observation().end());
  trajectory.true_rewards.assign(proto.true_rewards().begin(), proto.true_rewards().end());
  return trajectory;
}

void ToProto(const Clip& clip, int bodies, v1::Clip* proto) {
  proto->set_steps(clip.steps);
  Copy(clip.observations, proto->mutable_observations());
  Copy(clip.actions, proto->mutable_actions());
  proto->mutable_poses()->set_bodies(bodies);
  Copy(clip.poses, proto->mutable_poses()->mutable_poses());
  Copy(clip.states, proto->mutable_states());
  Copy(clip.true_rewards, proto->mutable_true_rewards());
  Copy(clip.rubric, proto->mutable_rubric());
}

absl::StatusOr<Clip> FromProto(const v1::Clip& proto, int observation_size, int action_size) {
  const int64_t steps = proto.steps();
  if (steps < 1 || proto.observations_size() != (steps + 1) * observation_size ||
      proto.actions_size() != steps * action_size) {
    return absl::InvalidArgumentError(
        absl::StrCat("a clip of ", steps, " steps came with ", proto.observations_size(),
                     " observation and ", proto.actions_size(), " action values; the task has ",
                     observation_size, " and ", action_size, " each moment"));
  }
  Clip clip;
  clip.steps = proto.steps();
  clip.observations.assign(proto.observations().begin(), proto.observations().end());
  clip.actions.assign(proto.actions().begin(), proto.actions().end());
  clip.true_rewards.assign(proto.true_rewards().begin(), proto.true_rewards().end());
  return clip;
}

}  // namespace backflip::experience
