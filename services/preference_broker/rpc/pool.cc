#include "services/preference_broker/rpc/pool.h"

#include <utility>

namespace backflip::preference_broker {
namespace {

// Other jobs that run before one that can wait.
constexpr int kPassed = 3;

}  // namespace

Pool::Pool(int threads, int queued, const std::function<std::unique_ptr<Connection>()>& connect)
    : queued_(queued) {
  for (int i = 0; i < threads; ++i) {
    connections_.push_back(connect());
    threads_.emplace_back([this, connection = connections_.back().get()] { Work(*connection); });
  }
}

Pool::~Pool() {
  {
    base::MutexLock lock(&mutex_);
    stop_ = true;
    wake_.NotifyAll();
  }
  for (std::thread& thread : threads_) thread.join();
}

bool Pool::Submit(Job job) {
  base::MutexLock lock(&mutex_);
  if (jobs_.size() >= queued_) return false;
  jobs_.push_back(std::move(job));
  wake_.NotifyOne();
  return true;
}

bool Pool::SubmitPatient(Job job) {
  base::MutexLock lock(&mutex_);
  if (patient_.size() >= kPatient * queued_) return false;
  patient_.push_back(std::move(job));
  wake_.NotifyOne();
  return true;
}

void Pool::CutStuck() {
  for (const auto& connection : connections_) connection->CutIfStuck();
}

void Pool::Work(Connection& connection) {
  while (true) {
    Job job;
    {
      base::MutexLock lock(&mutex_);
      while (jobs_.empty() && patient_.empty() && !stop_) wake_.Wait(&mutex_);
      if (jobs_.empty() && patient_.empty()) return;
      const bool patient = jobs_.empty() || (!patient_.empty() && passed_ >= kPassed);
      passed_ = patient ? 0 : passed_ + 1;
      std::deque<Job>& queue = patient ? patient_ : jobs_;
      job = std::move(queue.front());
      queue.pop_front();
    }
    job(connection);
  }
}

}  // namespace backflip::preference_broker
