#include "services/rollout_worker/rollout_worker.h"

#include <utility>

#include "common/base/log.h"
#include "common/base/random.h"
#include "common/base/retry.h"
#include "common/base/status_macros.h"
#include "common/client/snapshot_client.h"
#include "common/rpc/limits.h"
#include "common/rpc/status.h"
#include "services/rollout_worker/rounding.h"

namespace backflip::rollout_worker {
RolloutWorker::RolloutWorker(rpc::Client broker, RolloutWorkerConfig config)
    : config_(std::move(config)),
      broker_(std::move(broker)),
      name_(base::RandomHex128()),
      work_(v1::WorkService::NewStub(broker_.channel())),
      tasks_(config_.cache_folder, [this](const std::string& sha256) {
        return client::GetBundle(broker_, sha256, [this] { return Draining(); });
      }) {}

void RolloutWorker::OnDrain() {
  base::MutexLock lock(&mutex_);
  if (asking_ != nullptr) asking_->TryCancel();
  if (session_ != nullptr) session_->Drain();
}

absl::Status RolloutWorker::Work() {
  // one series of retries, so that pauses grow while nothing works: the broker is
  // away, the learner refuses, or its address is dead
  const base::RetryPolicy patient{.give_up_after = absl::InfiniteDuration()};
  while (!Draining()) {
    const absl::Status status = base::Retry(
        patient, [this] { return Draining(); },
        [this] {
          const auto assignment = AskForWork(rpc::kMaxWaitMs);
          absl::Status status = assignment.status();
          if (rpc::TokenIsRefused(status)) return status;
          if (status.ok() && assignment->run_id() == 0) return absl::OkStatus();
          if (status.ok()) status = Serve(*assignment);
          if (status.ok() || Draining()) return absl::OkStatus();
          base::LogWarning("no work done", {{"reason", status.message()}});
          return absl::UnavailableError(status.message());
        });
    if (!status.ok() && !Draining()) return status;
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::Assignment> RolloutWorker::AskForWork(int wait_ms) {
  v1::AssignWorkRequest request;
  request.set_worker(name_);
  request.set_threads(config_.threads);
  request.set_wait_ms(wait_ms);
  // not from a session's thread, which asks without waiting
  if (wait_ms > 0) {
    request.set_failed_run_id(failed_run_);
    request.set_failure(failure_);
  }
  const auto context = broker_.UnaryContext(absl::Milliseconds(wait_ms) + absl::Seconds(5));
  {
    base::MutexLock lock(&mutex_);
    if (Draining()) return absl::CancelledError("draining");
    asking_ = context.get();
  }
  v1::Assignment assignment;
  const absl::Status status = rpc::FromGrpc(work_->AssignWork(context.get(), request, &assignment));
  {
    base::MutexLock lock(&mutex_);
    asking_ = nullptr;
  }
  RETURN_IF_ERROR(status);
  if (wait_ms > 0) failed_run_ = 0;
  return assignment;
}

absl::Status RolloutWorker::Load(const v1::Assignment& assignment) {
  ASSIGN_OR_RETURN(auto task, tasks_.Get(assignment.task()));
  if (simulator_ == nullptr || &simulator_->task() != task.get()) {
    simulator_.reset();
    ASSIGN_OR_RETURN(simulator_, sim::Simulator::Start(std::move(task), config_.threads));
    // what cannot be simulated its tickets tell, with the reason
    rounding_ = Rounding(simulator_.get()).value_or("");
  }
  return absl::OkStatus();
}

void RolloutWorker::CannotServe(const v1::Assignment& assignment, const absl::Status& why) {
  if (base::IsRetryable(why) || absl::IsCancelled(why)) return;
  failed_run_ = assignment.run_id();
  failure_ = rpc::Sentence(why.message());
}

absl::Status RolloutWorker::Serve(const v1::Assignment& assignment) {
  if (absl::Status loaded = Load(assignment); !loaded.ok()) {
    CannotServe(assignment, loaded);
    return loaded;
  }
  base::LogInfo("serving a run", {{"run", assignment.run_id()},
                                  {"task", assignment.task().name()},
                                  {"learner", assignment.learner_address()},
                                  {"threads", config_.threads}});
  client::ReportConfig(broker_, assignment.run_id(), [this] { return Draining(); });
  CollectSession session(
      broker_, assignment, name_, simulator_.get(), rounding_, [this, &assignment] {
        // meanwhile the broker may know of a run that gets less than its share
        const auto other = AskForWork(0);
        return other.ok() && other->run_id() != 0 && other->run_id() != assignment.run_id();
      });
  {
    base::MutexLock lock(&mutex_);
    if (Draining()) return absl::OkStatus();
    session_ = &session;
  }
  const absl::Status status = session.Run();
  // the learner has another version, or another form of the task
  if (absl::IsFailedPrecondition(status)) CannotServe(assignment, status);
  base::MutexLock lock(&mutex_);
  session_ = nullptr;
  if (status.ok() && !session.HadWork()) {
    // the broker may not know yet that this learner wants no worker: pause before
    // it is asked again
    return absl::UnavailableError("the learner had no tickets");
  }
  return status;
}

}  // namespace backflip::rollout_worker
