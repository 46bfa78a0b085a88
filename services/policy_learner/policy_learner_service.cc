#include "services/policy_learner/policy_learner_service.h"

#include <atomic>
#include <chrono>
#include <deque>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/log.h"
#include "common/base/status_macros.h"
#include "common/rpc/collect_token.h"
#include "common/rpc/protocol.h"
#include "common/rpc/server.h"
#include "common/rpc/status.h"

namespace backflip::policy_learner {
namespace {

absl::Status Expelled() {
  return absl::UnauthenticatedError(
      "the broker accepts this worker's token no more: ask an operator for a new one");
}

}  // namespace

// One worker's stream. gRPC deletes it through OnDone.
class PolicyLearnerService::Stream final
    : public grpc::ServerBidiReactor<v1::WorkerMessage, v1::LearnerMessage>,
      public WorkerLink {
 public:
  // `holder`: as of StreamBegins.
  Stream(PolicyLearnerService* service, std::string peer, std::shared_ptr<Collector> collector,
         int64_t holder)
      : service_(service),
        peer_(std::move(peer)),
        collector_(std::move(collector)),
        holder_(holder) {
    service_->StreamBegins(this, holder);
  }

  void Start() { StartRead(&read_); }

  // Takes nothing more of the worker, whether it hears of that or not.
  void Expel() {
    expelled_ = true;
    Leave();
    End(Expelled());
  }

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
    const absl::Status status = expelled_ ? Expelled() : ok ? Handle() : absl::OkStatus();
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
    service_->StreamEnds(this);
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
        ASSIGN_OR_RETURN(worker_, collector_->Connect(read_.register_(), holder_, this, now));
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
  const int64_t holder_;
  v1::WorkerMessage read_;
  std::atomic<WorkerId> worker_ = 0;
  std::atomic<bool> left_ = false;
  std::atomic<bool> expelled_ = false;

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
  auto next = std::chrono::steady_clock::now() + interval;
  while (true) {
    {
      base::MutexLock lock(&mutex_);
      for (auto now = std::chrono::steady_clock::now(); !stop_ && now < next;
           now = std::chrono::steady_clock::now())
        changed_.WaitFor(&mutex_, next - now);
      if (stop_) return;
      next += interval;
      if (collector_ != nullptr) collector_->Tick(absl::Now());
    }
    CutRefused();
  }
}

void PolicyLearnerService::CutRefused() {
  FindRefused find_refused;
  std::string secret;
  std::set<int64_t> holders;
  {
    base::MutexLock lock(&mutex_);
    find_refused = find_refused_;
    secret = secret_;
    for (const auto& [stream, holder] : streams_) {
      if (holder != 0) holders.insert(holder);
    }
  }
  if (find_refused == nullptr || holders.empty()) return;
  // a broker that is away for long takes the claim with it
  const auto refused = find_refused({holders.begin(), holders.end()});
  if (!refused.ok()) return;
  base::MutexLock lock(&mutex_);
  if (secret != secret_) return;  // another run's
  refused_.insert(refused->begin(), refused->end());
  for (const auto& [stream, holder] : streams_) {
    if (refused_.count(holder) == 0) continue;
    base::LogWarning("a worker's token is accepted no more: it is cut off", {{"token", holder}});
    stream->Expel();
  }
}

void PolicyLearnerService::Serve(std::shared_ptr<Collector> collector, std::string secret,
                                 FindRefused find_refused) {
  base::MutexLock lock(&mutex_);
  collector_ = std::move(collector);
  secret_ = std::move(secret);
  find_refused_ = std::move(find_refused);
  refused_.clear();
}

void PolicyLearnerService::StopServing(absl::Duration grace) {
  std::shared_ptr<Collector> collector;
  {
    base::MutexLock lock(&mutex_);
    collector = std::move(collector_);
    collector_ = nullptr;
    secret_.clear();
    find_refused_ = nullptr;
  }
  if (collector != nullptr) collector->ReleaseWorkers();
  const absl::Time until = absl::Now() + grace;
  base::MutexLock lock(&mutex_);
  while (!streams_.empty()) {
    const absl::Duration left = until - absl::Now();
    if (left <= absl::ZeroDuration()) return;
    changed_.WaitFor(&mutex_, absl::ToChronoNanoseconds(left));
  }
}

void PolicyLearnerService::StreamBegins(Stream* stream, int64_t holder) {
  base::MutexLock lock(&mutex_);
  streams_[stream] = holder;
}

void PolicyLearnerService::StreamEnds(Stream* stream) {
  base::MutexLock lock(&mutex_);
  streams_.erase(stream);
  changed_.NotifyAll();
}

grpc::ServerBidiReactor<v1::WorkerMessage, v1::LearnerMessage>* PolicyLearnerService::Collect(
    grpc::CallbackServerContext* context) {
  std::shared_ptr<Collector> collector;
  int64_t holder = 0;
  bool refused = false;
  {
    const std::string token = rpc::BearerToken(*context);
    base::MutexLock lock(&mutex_);
    if (collector_ != nullptr) holder = rpc::HolderOf(token, secret_);
    refused = refused_.count(holder) > 0;
    if (holder != 0 && !refused) collector = collector_;
  }
  auto* stream = new Stream(this, context->peer(), collector, refused ? 0 : holder);
  if (refused) {
    stream->Refuse(Expelled());
  } else if (collector == nullptr) {
    stream->Refuse(absl::UnauthenticatedError(
        "wrong collect token: this learner serves another run now, or none; "
        "ask the broker for work again"));
  } else {
    stream->Start();
  }
  return stream;
}

}  // namespace backflip::policy_learner
