#include "services/preference_broker/rpc/pool.h"

#include <utility>

namespace backflip::broker {

Pool::Pool(int threads, int queued, const std::function<std::unique_ptr<Connection>()>& connect)
    : queued_(queued) {
  for (int i = 0; i < threads; ++i) {
    threads_.emplace_back([this, connection = std::shared_ptr<Connection>(connect())] { Work(*connection); });
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

void Pool::Work(Connection& connection) {
  while (true) {
    Job job;
    {
      base::MutexLock lock(&mutex_);
      while (jobs_.empty() && !stop_) wake_.Wait(&mutex_);
      if (jobs_.empty()) return;
      job = std::move(jobs_.front());
      jobs_.pop_front();
    }
    job(connection);
  }
}

}  // namespace backflip::broker
