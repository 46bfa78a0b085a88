// Serves one claimed run: rounds of questions, fits and snapshots.
#ifndef BACKFLIP_SERVICES_REWARD_TRAINER_RUN_TRAINER_H_
#define BACKFLIP_SERVICES_REWARD_TRAINER_RUN_TRAINER_H_

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "backflip/v1/clip.grpc.pb.h"
#include "backflip/v1/label.grpc.pb.h"
#include "backflip/v1/run.grpc.pb.h"
#include "backflip/v1/snapshot.pb.h"
#include "common/base/mutex.h"
#include "common/client/claim_keeper.h"
#include "common/method/ensemble_fitter.h"
#include "common/method/label_book.h"
#include "common/rpc/client.h"

namespace backflip::reward_trainer {

// Round r follows batch r and makes the reward of iteration r + 1. In lockstep
// rounds come one by one, each waits for all of its answers, and is fitted to
// exactly the labels of rounds <= r: the same run gives the same rewards.
// Otherwise questions are opened as they are answered, a round each time, and
// the ensemble is fitted whenever a batch or labels have come. Once the run's
// operator has stopped the asking, nothing is opened and nothing is waited for.
class RunTrainer {
 public:
  RunTrainer(const rpc::Client& broker, std::unique_ptr<client::ClaimKeeper> claim);
  ~RunTrainer();

  // Serves the run until it ends, the claim is lost, Stop is called or it
  // fails; then checkpoints where that is still wanted, and gives the run back
  // or reports why it failed. Call it once. Blocks.
  void Serve();

  // Ends Serve soon. Thread-safe.
  void Stop();

 private:
  struct Candidate {
    std::string id;
    int64_t iteration = 0;
    method::ClipPointer clip;
  };
  // What is saved when it is time to: a round's end.
  struct Checkpoint {
    v1::CheckpointInfo info;
    std::string bytes;
  };

  absl::Status Train();
  absl::Status TrainInLockstep(int64_t round);
  absl::Status TrainAsLabelsCome();

  // The checkpoint, the labels that it was fitted to, the pool.
  absl::Status Restore();
  // Takes candidates of batches after that of the pool up to `round` into it.
  absl::Status ReadCandidates(int64_t round, std::vector<method::ClipPointer>* added);
  // Opens questions of `round` for so many labels, the newest batch being
  // `batch`; or takes what was opened before, and answers false.
  absl::StatusOr<bool> Ask(int64_t round, int64_t batch, int64_t labels);
  // Without lockstep: keeps questions open as the schedule and the labelers want.
  absl::Status KeepAsking(int64_t batch);
  // A pair of the newest batch's policy and an earlier one, if there is one.
  void AddProgressQuestion(int64_t round, int64_t batch, size_t place,
                           v1::OpenQuestionsRequest* request);
  absl::Status ReportReliability();
  // Fits to `comparisons`, what stood at `position`, publishes as the reward of iteration round +
  // 1, reports, and checkpoints now and then.
  absl::Status FitAndPublish(int64_t round, const std::vector<method::Comparison>& comparisons,
                             int64_t position);
  absl::Status Save();
  std::vector<method::ClipPointer> PoolClips() const;

  int64_t StepsAfter(int64_t round) const;

  // The two threads that hear of labels and of batches, until Ended.
  void FollowLabels();
  // One stream, from the newest position on, to its end; `heard`: whether
  // anything came.
  absl::Status ReadFeed(grpc::ClientContext* context, bool* heard);
  void WatchRun();
  // Labelers who have answered in the last minute.
  int64_t ActiveLabelers() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Why the feed cannot be followed any more.
  void Fail(absl::Status status);

  // True once there is nothing more to do here.
  bool Ended() const { return stopped_ || claim_->Lost() || run_over_ || failed_; }
  // Blocks until `condition`, which is asked under the lock, or Ended: then CANCELLED.
  absl::Status Await(const std::function<bool()>& condition);

  const rpc::Client broker_;
  const std::unique_ptr<client::ClaimKeeper> claim_;
  const v1::Run run_;  // as it was claimed, with every option set
  const v1::RunSpec& spec_;
  const std::unique_ptr<v1::RunService::Stub> runs_;
  const std::unique_ptr<v1::TrainingService::Stub> training_;
  const std::unique_ptr<v1::ClipService::Stub> clips_;
  const std::function<bool()> ended_;

  std::unique_ptr<method::EnsembleFitter> fitter_;
  std::vector<Candidate> pool_;  // oldest first
  int64_t pool_round_ = -1;      // batches <= this are in it
  int64_t done_round_ = -1;      // the last round that was fitted
  int64_t ensemble_version_ = 0;
  // Without lockstep rounds count what was opened, not batches.
  int64_t next_round_ = 0;
  Checkpoint checkpoint_;  // of done_round_, if that is not -1
  int64_t saved_round_ = -1;

  std::atomic<bool> stopped_ = false;
  std::atomic<bool> run_over_ = false;
  std::atomic<bool> failed_ = false;

  base::Mutex mutex_;
  base::CondVar changed_;
  method::LabelBook book_ ABSL_GUARDED_BY(mutex_);
  int64_t batches_ ABSL_GUARDED_BY(mutex_) = 0;  // complete ones
  bool asking_stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::map<int, absl::Time> answered_at_ ABSL_GUARDED_BY(mutex_);  // by labeler
  absl::Status failure_ ABSL_GUARDED_BY(mutex_);
  // Calls in progress, for Stop to cancel.
  grpc::ClientContext* feed_call_ ABSL_GUARDED_BY(mutex_) = nullptr;
  grpc::ClientContext* watch_call_ ABSL_GUARDED_BY(mutex_) = nullptr;
  std::thread feed_thread_;
  std::thread watch_thread_;
};

}  // namespace backflip::reward_trainer

#endif  // BACKFLIP_SERVICES_REWARD_TRAINER_RUN_TRAINER_H_
