// Serves one claimed run: rounds of questions, fits and snapshots.
#ifndef BACKFLIP_SERVICES_REWARD_TRAINER_RUN_TRAINER_H_
#define BACKFLIP_SERVICES_REWARD_TRAINER_RUN_TRAINER_H_

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "backflip/v1/label.grpc.pb.h"
#include "backflip/v1/run.grpc.pb.h"
#include "backflip/v1/snapshot.pb.h"
#include "common/base/mutex.h"
#include "common/client/claim_keeper.h"
#include "common/experience/clip.h"
#include "common/method/ensemble_fitter.h"
#include "common/rpc/client.h"
#include "services/reward_trainer/candidate_pool.h"
#include "services/reward_trainer/listener.h"
#include "services/reward_trainer/run_progress.h"

namespace backflip::reward_trainer {

// In lockstep rounds come one by one (common/method/rounds.h): each waits for all of its
// answers, and the ensemble is fitted to exactly the labels of the rounds up to it: the
// same run gives the same rewards. Otherwise rounds only count how often questions were
// opened; they are opened as earlier ones are answered, and the ensemble is fitted
// whenever a batch or labels have come. Once the run's operator has stopped the asking,
// nothing is opened and nothing is waited for.
class RunTrainer {
 public:
  // Begins to follow the run's labels and batches.
  RunTrainer(const rpc::Client& broker, std::unique_ptr<client::ClaimKeeper> claim);
  ~RunTrainer();

  // Serves the run until it ends, the claim is lost, Stop is called or it
  // fails; then checkpoints where that is still wanted, and gives the run back
  // or reports why it failed. Call it once. Blocks.
  void Serve();

  // Ends Serve soon. Thread-safe.
  void Stop();

 private:
  // What is saved when it is time to: the state after a fit.
  struct Checkpoint {
    v1::CheckpointInfo info;
    std::string bytes;
  };
  // Labels to fit to, and the feed's position that they were taken at.
  struct Labels {
    std::vector<experience::Comparison> comparisons;
    int64_t position = 0;
  };

  absl::Status Train();
  absl::Status TrainInLockstep(int64_t round);
  absl::Status TrainAsLabelsCome();

  // The checkpoint, the labels that it was fitted to, the pool.
  absl::Status Restore();
  // Takes candidates of batches up to `batch` that are not in the pool yet into it and,
  // with `new_to_ensemble`, into the ensemble's normaliser.
  absl::Status ReadCandidates(int64_t batch, bool new_to_ensemble);
  // FAILED_PRECONDITION: batches up to `batch` gave too few clips to ask anything about, and there
  // is nothing else to learn from.
  absl::Status CheckCandidates(int64_t batch);
  // Opens the questions of `round` for `labels` labels, the newest batch being `batch`;
  // answers false if they had been opened before, and takes those.
  absl::StatusOr<bool> Ask(int64_t round, int64_t batch, int64_t labels);
  // Without lockstep: keeps questions open as the schedule and the labelers want.
  absl::Status KeepAsking(int64_t batch);
  // A pair of the newest batch's policy and an earlier one, if there is one.
  void AddProgressQuestion(int64_t round, int64_t batch, size_t place,
                           v1::OpenQuestionsRequest* request);

  // What follows `batch`: fits, publishes, checkpoints now and then, and reports.
  absl::Status FitAndPublish(int64_t batch, const Labels& labels);
  // The ensemble becomes the reward of iteration batch + 1.
  absl::Status Publish(int64_t batch);
  // Takes the state after `batch` for a checkpoint, and saves it if the last one is old.
  absl::Status KeepCheckpoint(int64_t batch, int64_t position);
  absl::Status Report(int64_t batch, const learn::RewardTrainingStats& stats);
  absl::Status ReportReliability();
  absl::Status Save();

  int64_t StepsAfter(int64_t batch) const;
  // Answers that are soon to come: without those of questions that labelers hold for long.
  int64_t OpenPlaces() ABSL_EXCLUSIVE_LOCKS_REQUIRED(progress_.mutex);
  // Labelers with an answer in the last minute.
  int64_t ActiveLabelers() ABSL_EXCLUSIVE_LOCKS_REQUIRED(progress_.mutex);

  // True once there is nothing more to do here.
  bool Ended() const {
    return stopped_ || claim_->Lost() || progress_.run_over || progress_.failed;
  }
  // Blocks until `condition`, which is asked under the lock, or Ended: then CANCELLED. `what`: it
  // is waited for, in the metrics.
  absl::Status Await(const char* what, const std::function<bool()>& condition);

  const rpc::Client broker_;
  const std::unique_ptr<client::ClaimKeeper> claim_;
  const v1::Run run_;  // as it was claimed, with every option set
  const v1::RunSpec& spec_;
  const std::unique_ptr<v1::RunService::Stub> runs_;
  const std::unique_ptr<v1::TrainingService::Stub> training_;
  const std::function<bool()> ended_;

  std::unique_ptr<method::EnsembleFitter> fitter_;
  CandidatePool pool_;
  int64_t done_batch_ = -1;   // the last one that a fit followed
  int64_t saved_batch_ = -1;  // the same, as the last checkpoint has it
  int64_t ensemble_version_ = 0;
  int64_t next_round_ = 0;  // without lockstep
  Checkpoint checkpoint_;   // of done_batch_, if that is not -1

  std::atomic<bool> stopped_ = false;
  RunProgress progress_;
  // Last, so that their threads end first.
  const std::unique_ptr<Listener> feed_;
  const std::unique_ptr<Listener> watcher_;
};

}  // namespace backflip::reward_trainer

#endif  // BACKFLIP_SERVICES_REWARD_TRAINER_RUN_TRAINER_H_
