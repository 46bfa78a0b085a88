#include "services/policy_learner/rollout_check.h"

#include <cmath>
#include <cstdint>
#include <string>

#include "absl/strings/str_cat.h"

namespace backflip::policy_learner {
namespace {

class Checker {
 public:
  explicit Checker(const v1::Ticket& ticket)
      : where_(absl::StrCat("rollout of ticket ", ticket.iteration(), ".", ticket.index())) {}

  void EnterEnvironment(int environment) { environment_ = environment; }

  template <typename Values>
  void Array(const char* field, const Values& values, int64_t size) {
    if (!status.ok()) return;
    if (values.size() != size) {
      Fail(absl::StrCat(field, " has ", values.size(), " numbers instead of ", size));
      return;
    }
    // a sum of products with 0 is NaN as soon as one number is not finite, and
    // takes no branch for each
    typename Values::value_type probe = 0;
    for (const auto value : values) probe += value * 0;
    if (probe == 0) return;
    for (int i = 0; i < values.size(); ++i) {
      if (!std::isfinite(values.Get(i))) {
        Fail(absl::StrCat(field, "[", i, "] is not finite"));
        return;
      }
    }
  }

  void Fail(const std::string& what) {
    if (!status.ok()) return;
    status = absl::InvalidArgumentError(
        environment_ < 0 ? absl::StrCat(where_, ": ", what)
                         : absl::StrCat(where_, ", environment ", environment_, ": ", what));
  }

  absl::Status status;

 private:
  const std::string where_;
  int environment_ = -1;
};

}  // namespace

absl::Status CheckRollout(const v1::Ticket& ticket, const RolloutShape& shape,
                          const v1::Rollout& rollout) {
  Checker check(ticket);
  if (rollout.policy_version() != ticket.policy_version()) {
    check.Fail(absl::StrCat("it was made with policy version ", rollout.policy_version(),
                            " instead of ", ticket.policy_version()));
  }
  if (rollout.trajectories_size() != ticket.environments_size()) {
    check.Fail(absl::StrCat("it has ", rollout.trajectories_size(), " trajectories instead of ",
                            ticket.environments_size()));
  }
  const int64_t steps = ticket.steps();
  const bool collect = ticket.purpose() == v1::COLLECT;
  for (int e = 0; check.status.ok() && e < rollout.trajectories_size(); ++e) {
    const v1::Trajectory& trajectory = rollout.trajectories(e);
    check.EnterEnvironment(e);
    check.Array("observations", trajectory.observations(), steps * shape.observation_size);
    check.Array("actions", trajectory.actions(), steps * shape.action_size);
    check.Array("true_rewards", trajectory.true_rewards(), shape.true_rewards ? steps : 0);
    check.Array("log_probs", trajectory.log_probs(), collect ? steps : 0);
    if (!collect) continue;
    check.Array("last_observation", trajectory.last_observation(), shape.observation_size);
    check.Array("end_observations", trajectory.end_observations(),
                static_cast<int64_t>(trajectory.episode_ends_size()) * shape.observation_size);
    int previous = -1;
    for (const int end : trajectory.episode_ends()) {
      if (end <= previous || end >= steps) {
        check.Fail(absl::StrCat("episode_ends holds ", end, " after ", previous,
                                "; allowed: growing, 0 to ", steps - 1));
      }
      previous = end;
    }
    if (trajectory.end_reasons_size() != 0 &&
        trajectory.end_reasons_size() != trajectory.episode_ends_size()) {
      check.Fail(absl::StrCat("end_reasons has ", trajectory.end_reasons_size(), " instead of ",
                              trajectory.episode_ends_size()));
    }
    for (const int reason : trajectory.end_reasons()) {
      if (reason == v1::END_UNSPECIFIED || !v1::End_IsValid(reason)) {
        check.Fail(absl::StrCat("end_reasons holds ", reason,
                                "; allowed: TIME_LIMIT, TERMINAL and DIVERGED"));
      }
    }
    if (!trajectory.has_end()) check.Fail("the environment's end state is missing");
    const v1::EnvironmentState& end = trajectory.end();
    check.Array("end.physics", end.physics(), end.physics_size());
    check.Array("end.noise", end.noise(), shape.action_size);
    if (end.episode_step() < 0 || end.episode_step() > shape.episode_steps) {
      check.Fail(absl::StrCat("end.episode_step is ", end.episode_step(), "; allowed: 0 to ",
                              shape.episode_steps));
    }
  }
  return check.status;
}

}  // namespace backflip::policy_learner
