// The learner's side of one run, from its checkpoint to its end: a batch comes from the
// workers, a reward from the trainer, the algorithm improves, and its policy goes out. The
// loop is the protocol with the broker; the method is in common/method and common/learn.
#ifndef BACKFLIP_SERVICES_POLICY_LEARNER_LEARNER_LOOP_H_
#define BACKFLIP_SERVICES_POLICY_LEARNER_LEARNER_LOOP_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "backflip/v1/run.pb.h"
#include "backflip/v1/state.pb.h"
#include "common/experience/trajectory.h"
#include "common/learn/algorithm.h"
#include "common/learn/novelty.h"
#include "common/method/evaluation.h"
#include "common/method/run_reward.h"
#include "services/policy_learner/broker_link.h"
#include "services/policy_learner/collector.h"

namespace backflip::policy_learner {

// Not thread-safe, except for the collector.
//
// The same run from the same checkpoint gives the same policies in lockstep, whatever the
// workers.
class LearnerLoop {
 public:
  // Loads the newest checkpoint, if there is one. `broker` is not owned and
  // outlives the loop. Errors say what about the run cannot be served.
  static absl::StatusOr<std::unique_ptr<LearnerLoop>> Create(const v1::Run& run,
                                                             BrokerLink* broker);

  const std::shared_ptr<Collector>& collector() const { return collector_; }

  // Serves the run to its end: then the best snapshot is set, and its final episodes are
  // reported. Blocks. `stop`: thread-safe. CANCELLED once it answered true, after an attempt
  // to save a checkpoint of the last whole iteration.
  absl::Status Run(const std::function<bool()>& stop);

 private:
  // A kept snapshot and its evaluation.
  struct Kept {
    v1::SnapshotInfo info;
    int64_t evaluation = 0;  // the collector's handle; 0: not asked for since the start
    std::vector<experience::Trajectory> episodes;  // empty: not there yet
  };

  LearnerLoop(const v1::Run& run, BrokerLink* broker);
  absl::Status Restore();
  absl::Status Train(const std::function<bool()>& stop);
  // What the policy learns from the batch that it has just observed.
  absl::Status Improve();
  absl::Status Finish(const std::function<bool()>& stop);

  // The batch that comes next. Blocks. `stop`: as of Run.
  absl::StatusOr<Rollouts> WaitBatch(const std::function<bool()>& stop);
  // Publishes the current policy, and hands it to the collector.
  absl::Status PublishPolicy();
  // By environment, where it begins in the next batch instead of going on.
  absl::StatusOr<std::map<int, v1::EnvironmentState>> Restarts();
  void StartEvaluation(Kept* kept, std::string bytes);
  // Takes evaluations that are complete, and charts them.
  absl::Status TakeEvaluations();
  // Charts the return of `kept`'s episodes under the current reward.
  absl::StatusOr<method::PredictedReturn> Score(const Kept& kept);
  // By `reward_`, or by true rewards. Valid until `reward_` changes.
  method::RunReward CurrentReward() const;
  // The reward for batch `iteration`; null where it comes with true rewards.
  absl::StatusOr<std::shared_ptr<const Reward>> WaitReward(int64_t iteration);
  // The newest reward, once there are enough labels for the steps so far.
  absl::StatusOr<std::shared_ptr<const Reward>> NewestReward();
  // Recomputes `end_`, which moves when the asking is stopped.
  void SetEnd(const Asking& asking);
  // Workers serve other runs while this one waits for labels.
  void LetWorkersGo();
  void TakeWorkersBack();
  void Chart(const learn::Statistics& statistics);
  absl::Status Report();
  v1::LearnerState Boundary() const;
  absl::Status SaveCheckpoint();

  const v1::Run run_;
  const v1::RunSpec& spec_;
  BrokerLink* const broker_;
  const int64_t batches_;
  // Batches until the end; at most batches_.
  int64_t end_;
  bool asking_stopped_ = false;
  std::unique_ptr<learn::Algorithm> algorithm_;
  std::unique_ptr<learn::Novelty> novelty_;  // null where the policy does not learn from it
  std::shared_ptr<Collector> collector_;

  // The batch that comes next, and the steps in all before it.
  int64_t iteration_ = 0;
  int64_t steps_ = 0;
  std::vector<Kept> kept_;
  // The reward that was used last.
  std::shared_ptr<const Reward> reward_;
  // What a checkpoint of the last whole iteration says.
  v1::LearnerState boundary_;
  int64_t saved_iteration_ = -1;

  // Metrics not reported yet: those of the last iteration.
  std::map<std::string, double> metrics_;
  absl::Duration reward_wait_;
  bool workers_gone_ = false;
  absl::Time last_boundary_ = absl::InfinitePast();
  double seconds_per_step_ = 0;
};

}  // namespace backflip::policy_learner

#endif  // BACKFLIP_SERVICES_POLICY_LEARNER_LEARNER_LOOP_H_
