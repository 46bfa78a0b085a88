#include "services/policy_learner/policy_learner_service.h"

#include <atomic>
#include <chrono>
#include <deque>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/hash.h"
#include "common/base/log.h"
#include "common/base/status_macros.h"
#include "common/rpc/protocol.h"
#include "common/rpc/server.h"
#include "common/rpc/status.h"

namespace backflip::policy_learner {

// One worker's stream. gRPC deletes it through OnDone.
class PolicyLearnerService::Stream final
    : public grpc::ServerBidiReactor<v1::WorkerMessage, v1::LearnerMessage>,
      public WorkerLink {
 public:
  Stream(PolicyLearnerService* service, std::string peer, std::shared_ptr<Collector> collector)
      : service_(service), peer_(std::move(peer)), collector_(std::move(collector)) {
    service_->StreamBegins();
  }

  void Start() { StartRead(&read_); }

  // Ends before anything was read.
  void Refuse(absl::Status status) { End(std::move(status)); }

  void Send(std::shared_ptr<const v1::LearnerMessage> message) override {
    base::MutexLock lock(&mutex_);
    if (end_.has_value()) return;
    queue_.push_back(std::move(message));
    if (queue_.size() == 1) StartWrite(queue_.front().get());
  }

  void Cut(absl::Status status) override { End(std::move(status)); }

  void OnReadDone(bool ok) override {
    // half-closed or broken: either way its tickets go to others
    const absl::Status status = ok ? Handle() : absl::OkStatus();
    if (ok && status.ok()) {
      StartRead(&read_);
      return;
    }
    if (!status.ok()) {
      base::LogWarning("worker refused", {{"peer", peer_}, {"reason", status.message()}});
    }
    Leave();
    End(status);
  }

  void OnWriteDone(bool ok) override {
    base::MutexLock lock(&mutex_);
    queue_.pop_front();
    if (!ok) queue_.clear();
    if (!queue_.empty()) {
      StartWrite(queue_.front().get());
    } else if (end_.has_value()) {
      Finish(rpc::ToGrpc(*end_));
    }
  }

  void OnCancel() override {
    Leave();
    End(absl::CancelledError("the stream broke"));
  }

  void OnDone() override {
    Leave();
    service_->StreamEnds();
    delete this;
  }

 private:
  absl::Status Handle() {
    const absl::Time now = absl::Now();
    switch (read_.message_case()) {
      case v1::WorkerMessage::kRegister: {
        if (worker_ != 0) {
          return absl::InvalidArgumentError("a second Register on one stream");
        }
        ASSIGN_OR_RETURN(worker_, collector_->Connect(read_.register_(), this, now));
        base::LogInfo("worker connected", {{"peer", peer_},
                                           {"worker", worker_.load()},
                                           {"threads", read_.register_().threads()}});
        return absl::OkStatus();
      }
      case v1::WorkerMessage::kRollout:
        if (worker_ == 0) break;
        return collector_->Return(worker_, std::unique_ptr<v1::Rollout>(read_.release_rollout()),
                                  now);
      case v1::WorkerMessage::kFailure:
        if (worker_ == 0) break;
        collector_->Fail(worker_, read_.failure(), now);
        return absl::OkStatus();
      case v1::WorkerMessage::kHeartbeat:
        if (worker_ == 0) break;
        collector_->Heard(worker_, now);
        return absl::OkStatus();
      case v1::WorkerMessage::MESSAGE_NOT_SET:
        return absl::InvalidArgumentError("a WorkerMessage without a message");
    }
    return absl::InvalidArgumentError("the first message must be Register");
  }

  // Every way out leads here, OnDone last, when worker_ is settled.
  void Leave() {
    const WorkerId worker = worker_;
    if (worker == 0) return;
    collector_->Disconnect(worker, absl::Now());
    if (left_.exchange(true)) return;
    base::LogInfo("worker left", {{"peer", peer_}, {"worker", worker}});
  }

  void End(absl::Status status) {
    base::MutexLock lock(&mutex_);
    if (end_.has_value()) return;
    end_ = std::move(status);
    if (queue_.empty()) {
      Finish(rpc::ToGrpc(*end_));
    } else {
      // the message under way cannot be taken back; OnWriteDone finishes
      queue_.resize(1);
    }
  }

  PolicyLearnerService* const service_;
  const std::string peer_;
  const std::shared_ptr<Collector> collector_;
  v1::WorkerMessage read_;
  std::atomic<WorkerId> worker_ = 0;
  std::atomic<bool> left_ = false;

  base::Mutex mutex_;
  std::deque<std::shared_ptr<const v1::LearnerMessage>> queue_ ABSL_GUARDED_BY(mutex_);
  std::optional<absl::Status> end_ ABSL_GUARDED_BY(mutex_);
};

PolicyLearnerService::PolicyLearnerService() : ticker_([this] { TickLoop(); }) {}

PolicyLearnerService::~PolicyLearnerService() {
  {
    base::MutexLock lock(&mutex_);
    stop_ = true;
    changed_.NotifyAll();
  }
  ticker_.join();
}

void PolicyLearnerService::TickLoop() {
  const std::chrono::seconds interval(rpc::kHeartbeatSeconds);
  base::MutexLock lock(&mutex_);
  auto next = std::chrono::steady_clock::now() + interval;
  while (!stop_) {
    const auto left = next - std::chrono::steady_clock::now();
    if (left > left.zero()) {
      changed_.WaitFor(&mutex_, left);
      continue;
    }
    next += interval;
    if (collector_ != nullptr) collector_->Tick(absl::Now());
  }
}

void PolicyLearnerService::Serve(std::shared_ptr<Collector> collector, std::string collect_token) {
  base::MutexLock lock(&mutex_);
  collector_ = std::move(collector);
  collect_token_ = std::move(collect_token);
}

void PolicyLearnerService::StopServing(absl::Duration grace) {
  std::shared_ptr<Collector> collector;
  {
    base::MutexLock lock(&mutex_);
    collector = std::move(collector_);
    collector_ = nullptr;
    collect_token_.clear();
  }
  if (collector != nullptr) collector->ReleaseWorkers();
  const absl::Time until = absl::Now() + grace;
  base::MutexLock lock(&mutex_);
  while (streams_ > 0) {
    const absl::Duration left = until - absl::Now();
    if (left <= absl::ZeroDuration()) return;
    changed_.WaitFor(&mutex_, absl::ToChronoNanoseconds(left));
  }
}

void PolicyLearnerService::StreamBegins() {
  base::MutexLock lock(&mutex_);
  ++streams_;
}

void PolicyLearnerService::StreamEnds() {
  base::MutexLock lock(&mutex_);
  --streams_;
  changed_.NotifyAll();
}

grpc::ServerBidiReactor<v1::WorkerMessage, v1::LearnerMessage>* PolicyLearnerService::Collect(
    grpc::CallbackServerContext* context) {
  std::shared_ptr<Collector> collector;
  {
    const std::string token = rpc::BearerToken(*context);
    base::MutexLock lock(&mutex_);
    // hashes, so that the time of the comparison tells nothing of the token
    if (collector_ != nullptr && base::Sha256Hex(token) == base::Sha256Hex(collect_token_)) {
      collector = collector_;
    }
  }
  auto* stream = new Stream(this, context->peer(), collector);
  if (collector == nullptr) {
    stream->Refuse(absl::UnauthenticatedError(
        "wrong collect token: this learner serves another run now, or none; "
        "ask the broker for work again"));
  } else {
    stream->Start();
  }
  return stream;
}

}  // namespace backflip::policy_learner
