// Tickets as the simulator takes them, and what comes of them.
#ifndef BACKFLIP_SERVICES_ROLLOUT_WORKER_TICKET_WORK_H_
#define BACKFLIP_SERVICES_ROLLOUT_WORKER_TICKET_WORK_H_

#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backflip/v1/clip.pb.h"
#include "backflip/v1/collect.pb.h"
#include "backflip/v1/run.pb.h"
#include "common/nn/policy.h"
#include "common/sim/simulator.h"
#include "common/sim/task.h"

namespace backflip::rollout_worker {

sim::Ticket SimulatorTicket(const v1::Ticket& ticket, std::shared_ptr<const nn::Policy> policy);

// What the learner gets. `true_rewards`: whether the broker said that the run
// learns from them; they are left out otherwise.
v1::Rollout LearnerRollout(const v1::Ticket& ticket, const sim::Rollout& rollout,
                           bool true_rewards);

// What the learner gets instead where the ticket cannot be served, because of `reason`.
v1::TicketFailure FailureOf(const v1::Ticket& ticket, const absl::Status& reason);

// At most `count` candidates, as the broker gets them, with what teachers answer by.
// Which ones depends on the ticket and the rollout alone. OutOfRange: see sim::CutClips.
absl::StatusOr<std::vector<v1::Clip>> Candidates(const v1::Ticket& ticket, const sim::Task& task,
                                                 const sim::Rollout& rollout, int count);

// What the broker gets of an EVALUATE ticket: each environment's first episode.
// Episodes are numbered from the ticket's index.
std::vector<v1::Evaluation> Evaluations(const v1::Ticket& ticket, const sim::Task& task,
                                        const sim::Rollout& rollout);

// The first episode of an EVALUATE ticket as reviewers watch it, or its
// beginning where all of it does not fit into a call. No true rewards.
v1::Clip RecordingOf(const v1::Ticket& ticket, const sim::Task& task, const sim::Rollout& rollout);

}  // namespace backflip::rollout_worker

#endif  // BACKFLIP_SERVICES_ROLLOUT_WORKER_TICKET_WORK_H_
