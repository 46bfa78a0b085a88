// Two policies against each other, by a task's rubric.
#ifndef BACKFLIP_TOOLS_RUBRIC_MATCH_H_
#define BACKFLIP_TOOLS_RUBRIC_MATCH_H_

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/status_macros.h"
#include "common/nn/policy.h"
#include "common/nn/snapshot.h"
#include "common/sim/clip.h"
#include "common/sim/simulator.h"
#include "common/sim/task.h"
#include "common/teachers/teacher.h"

namespace backflip::tools {

struct RubricMatch {
  int pairs = 0, wins = 0, ties = 0;  // wins of the challenger
};

// Each plays an evaluation episode, with mean actions, from each of `seeds`. As many clips as
// `clips` says are cut from the episodes of both at the same moments, and the rubric judges each
// pair. The task has a rubric.
inline absl::StatusOr<RubricMatch> PlayRubricMatch(const nn::Snapshot& challenger,
                                                   const nn::Snapshot& other,
                                                   const std::vector<uint64_t>& seeds, int clips,
                                                   sim::Simulator* simulator) {
  const sim::Task& task = simulator->task();
  std::vector<experience::Clip> sides[2];
  for (const bool first : {true, false}) {
    sim::Ticket ticket;
    ASSIGN_OR_RETURN(ticket.policy, nn::Policy::FromSnapshot(first ? challenger : other));
    ticket.evaluation = true;
    ticket.steps = task.task().evaluation_steps();
    for (const uint64_t seed : seeds) ticket.environments.push_back({seed, {}});
    ASSIGN_OR_RETURN(const sim::Rollout rollout, simulator->Run(std::move(ticket)));
    ASSIGN_OR_RETURN(sides[first ? 0 : 1], sim::CutClips(task, rollout, clips, seeds.front()));
  }
  if (sides[0].size() != sides[1].size()) {
    return absl::FailedPreconditionError(
        "an episode diverged: the clips are not of the same moments");
  }
  ASSIGN_OR_RETURN(const teachers::TeacherTraits traits, teachers::TraitsOf("rubric"));
  const teachers::Teacher judge(traits, seeds.front());
  RubricMatch match;
  for (size_t i = 0; i < sides[0].size(); ++i) {
    const v1::Choice choice = judge.Judge(sides[0][i].rubric, sides[1][i].rubric, {});
    ++match.pairs;
    match.wins += choice == v1::LEFT;
    match.ties += choice == v1::TIE;
  }
  return match;
}

}  // namespace backflip::tools

#endif  // BACKFLIP_TOOLS_RUBRIC_MATCH_H_
