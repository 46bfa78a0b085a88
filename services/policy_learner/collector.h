// Batches and evaluations: turns policies into tickets, and the rollouts that
// workers return into batches.
#ifndef BACKFLIP_SERVICES_POLICY_LEARNER_COLLECTOR_H_
#define BACKFLIP_SERVICES_POLICY_LEARNER_COLLECTOR_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "backflip/v1/collect.pb.h"
#include "backflip/v1/run.pb.h"
#include "common/base/mutex.h"
#include "services/policy_learner/rollout_check.h"
#include "services/policy_learner/ticket_book.h"

namespace backflip::policy_learner {

// The learner's end of one worker's stream. The collector calls it under its
// lock: calls must not block nor call the collector.
class WorkerLink {
 public:
  virtual ~WorkerLink() = default;
  virtual void Send(std::shared_ptr<const v1::LearnerMessage> message) = 0;
  // Ends the stream with `status`.
  virtual void Cut(absl::Status status) = 0;
};

struct PolicyToAct {
  // The batch that it acts in; for an evaluation, how many batches it was trained on.
  int64_t iteration = 0;
  // Given by the broker.
  int64_t version = 0;
  int64_t steps_trained = 0;
  // A policy snapshot, encoded.
  std::string bytes;
};

// The rollouts of one batch or evaluation, in the order of its tickets.
using Rollouts = std::vector<std::unique_ptr<v1::Rollout>>;

// Batch b acts with policy b: its tickets go out as soon as that policy is there.
// Environments go on from batch to batch. Evaluations fill the time in which no batch
// wants steps.
//
// What tickets say depends on nothing but the run's options and what came
// before, never on how many workers there are.
//
// Thread-safe. Nothing blocks but the Wait functions.
class Collector {
 public:
  // Begins with batch `iteration`. `environments`: their states after the batch before, or
  // empty for fresh ones. `episode_steps`: of the episodes so far; they never become shorter, also
  // where a run is continued and its last batch moves away.
  Collector(const v1::RunSpec& spec, const v1::TaskInfo& task, int64_t iteration,
            std::vector<v1::EnvironmentState> environments, int32_t episode_steps = 0);

  // ---- The learner's side.

  // Begins batch `policy.iteration`: that of the start, or that after the batch taken last.
  // `restarts`: by environment, where it begins instead of going on.
  void AddPolicy(PolicyToAct policy, const std::map<int, v1::EnvironmentState>& restarts = {});

  // The rollouts of a batch, in the order of its tickets. Batches are taken one
  // after the other. `stop` is asked at least ten times a second: CANCELLED
  // once it is true. FAILED_PRECONDITION: a ticket cannot be served by any worker that tried
  // it; says why.
  absl::StatusOr<Rollouts> WaitBatch(int64_t iteration, const std::function<bool()>& stop);

  // The environments' states after the batch taken last.
  std::vector<v1::EnvironmentState> environments() const;
  // Of the newest batch's episodes.
  int32_t episode_steps() const;

  // Asks for one episode of mean actions for each seed, numbered from
  // `first_episode`. Returns a handle. No two evaluations of one policy share
  // an episode number.
  int64_t Evaluate(const PolicyToAct& policy, int first_episode, const std::vector<uint64_t>& seeds,
                   bool final_episodes);
  // Nothing until the evaluation is complete. A handle gives its episodes once.
  std::optional<Rollouts> TakeEvaluation(int64_t handle);
  absl::StatusOr<Rollouts> WaitEvaluation(int64_t handle, const std::function<bool()>& stop);

  // Asks every worker, and each that connects later, to ask the broker for other work.
  void ReleaseWorkers();
  // Accepts workers again.
  void TakeWorkers();

  // Rollouts that came late or twice.
  int64_t dropped() const;
  int workers() const;

  // ---- The workers' side.

  // `holder`: of the token that it came with. `link` must live until Disconnect. Sends Registered,
  // with a warning (logged, too) where the worker rounds otherwise than the first one, and tickets.
  // INVALID_ARGUMENT or FAILED_PRECONDITION refuse the worker.
  absl::StatusOr<WorkerId> Connect(const v1::Register& hello, int64_t holder, WorkerLink* link,
                                   absl::Time now);
  // INVALID_ARGUMENT: the rollout is not what its ticket asked for, which counts as a failure
  // of the ticket; the stream must end.
  absl::Status Return(WorkerId worker, std::unique_ptr<v1::Rollout> rollout, absl::Time now);
  // The ticket goes to others, a few times; then the run cannot go on.
  void Fail(WorkerId worker, const v1::TicketFailure& failure, absl::Time now);
  // A heartbeat.
  void Heard(WorkerId worker, absl::Time now);
  // Idempotent.
  void Disconnect(WorkerId worker, absl::Time now);

  // Sends heartbeats, cuts silent workers, and gives the tickets of stuck ones
  // to others. To be called every kHeartbeatSeconds.
  void Tick(absl::Time now);

 private:
  struct Policy {
    PolicyToAct info;
    std::vector<std::shared_ptr<const v1::LearnerMessage>> chunks;
  };
  struct Group;
  struct OpenTicket {
    std::shared_ptr<const v1::LearnerMessage> message;
    std::shared_ptr<const Policy> policy;
    std::shared_ptr<Group> group;
    int place = 0;
  };
  // Tickets that are waited for together.
  struct Group {
    Rollouts rollouts;
    int missing = 0;
  };
  struct Worker {
    WorkerLink* link = nullptr;
    absl::Time heard;
    std::deque<int64_t> policies;
  };
  // purpose, iteration, index
  using Key = std::tuple<int, int64_t, int32_t>;

  static Key KeyOf(const v1::Ticket& ticket);
  static std::shared_ptr<const Policy> MakePolicy(PolicyToAct policy);
  void OpenTickets(std::vector<std::shared_ptr<v1::LearnerMessage>> messages,
                   std::shared_ptr<const Policy> policy, std::shared_ptr<Group> group)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Tickets of batch `batch_`.
  std::vector<std::shared_ptr<v1::LearnerMessage>> BatchTickets(
      int64_t policy_version, const std::map<int, v1::EnvironmentState>& restarts) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Issue(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void CountFailure(WorkerId worker, TicketId id, const std::string& reason)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Remove(WorkerId worker) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The first such reason ends the waits for rollouts.
  void GiveUp(TicketId id, const std::string& reason) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  template <typename Done>
  absl::Status WaitFor(const std::function<bool()>& stop, Done done)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const v1::RunSpec spec_;
  const v1::TaskInfo task_;
  const RolloutShape shape_;

  mutable base::Mutex mutex_;
  base::CondVar changed_;
  // The batch that is being collected, or comes next.
  int64_t batch_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<Group> batch_group_ ABSL_GUARDED_BY(mutex_);
  // Complete and not taken; else null.
  std::shared_ptr<Group> complete_ ABSL_GUARDED_BY(mutex_);
  // After the batch taken last.
  std::vector<v1::EnvironmentState> states_ ABSL_GUARDED_BY(mutex_);
  int32_t episode_steps_ ABSL_GUARDED_BY(mutex_);

  TicketBook book_ ABSL_GUARDED_BY(mutex_);
  TicketId next_ticket_ ABSL_GUARDED_BY(mutex_) = 1;
  std::map<TicketId, OpenTicket> open_ ABSL_GUARDED_BY(mutex_);
  std::map<Key, TicketId> ids_ ABSL_GUARDED_BY(mutex_);
  std::map<int64_t, std::shared_ptr<Group>> evaluations_ ABSL_GUARDED_BY(mutex_);
  int64_t next_evaluation_ ABSL_GUARDED_BY(mutex_) = 1;
  std::map<WorkerId, Worker> workers_ ABSL_GUARDED_BY(mutex_);
  // Of the first worker that said it.
  std::string rounding_ ABSL_GUARDED_BY(mutex_);
  WorkerId next_worker_ ABSL_GUARDED_BY(mutex_) = 1;
  bool released_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
  int64_t dropped_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace backflip::policy_learner

#endif  // BACKFLIP_SERVICES_POLICY_LEARNER_COLLECTOR_H_
