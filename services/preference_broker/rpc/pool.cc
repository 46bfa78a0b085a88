#include "services/preference_broker/rpc/pool.h"

#include <algorithm>
#include <utility>

namespace backflip::preference_broker {
namespace {

// Other jobs that run before one that can wait.
constexpr int kPassed = 3;

}  // namespace

Pool::Pool(int threads, int queued, const std::function<std::unique_ptr<Connection>()>& connect)
    : queued_(queued) {
  {
    base::MutexLock lock(&mutex_);
    Of(Lane::kShort).most = threads;
    Of(Lane::kBulk).most = std::max(1, threads / 2);
    Of(Lane::kReview).most = std::max(1, threads / 4);
  }
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

bool Pool::Submit(Job job, Lane lane, size_t who) {
  base::MutexLock lock(&mutex_);
  std::deque<Entry>& jobs = Of(lane).jobs;
  if (jobs.size() >= queued_) return false;
  const auto theirs = static_cast<size_t>(
      std::count_if(jobs.begin(), jobs.end(), [&](const Entry& job) { return job.who == who; }));
  if (who != 0 && theirs >= std::max<size_t>(1, queued_ / 2)) return false;
  jobs.push_back({std::move(job), who});
  wake_.NotifyOne();
  return true;
}

bool Pool::SubmitPatient(Job job, Lane lane, size_t who) {
  base::MutexLock lock(&mutex_);
  if (Of(lane).patient.size() >= kPatient * queued_) return false;
  Of(lane).patient.push_back({std::move(job), who});
  wake_.NotifyOne();
  return true;
}

Pool::Entry Pool::Jobs::Next() {
  const bool patient_one = jobs.empty() || (!patient.empty() && passed >= kPassed);
  passed = patient_one ? 0 : passed + 1;
  std::deque<Entry>& queue = patient_one ? patient : jobs;
  auto next = std::find_if(queue.begin(), queue.end(), [&](const Entry& job) {
    return job.who == 0 || std::find(running.begin(), running.end(), job.who) == running.end();
  });
  if (next == queue.end()) next = queue.begin();
  Entry job = std::move(*next);
  queue.erase(next);
  return job;
}

Pool::Jobs* Pool::NextLane() {
  const int others = Of(Lane::kBulk).Running() + Of(Lane::kReview).Running();
  const bool room = others < std::max(1, Of(Lane::kShort).most - 1);
  for (size_t i = 1; i <= kLanes; ++i) {
    const size_t lane = (last_ + i) % kLanes;
    Jobs& jobs = lanes_[lane];
    const bool may = &jobs == &Of(Lane::kShort) || room;
    if (jobs.empty() || !may || jobs.Running() >= jobs.most) continue;
    last_ = lane;
    return &jobs;
  }
  return nullptr;
}

bool Pool::Empty() const {
  return std::all_of(lanes_.begin(), lanes_.end(), [](const Jobs& jobs) { return jobs.empty(); });
}

size_t Pool::Queued(Lane lane) {
  base::MutexLock lock(&mutex_);
  return Of(lane).jobs.size() + Of(lane).patient.size();
}

void Pool::CutStuck() {
  for (const auto& connection : connections_) connection->CutIfStuck();
}

void Pool::Work(Connection& connection) {
  Jobs* lane = nullptr;
  size_t who = 0;
  while (true) {
    Entry job;
    {
      base::MutexLock lock(&mutex_);
      // what this thread leaves room for may be another's to take
      if (lane != nullptr) {
        lane->running.erase(std::find(lane->running.begin(), lane->running.end(), who));
        wake_.NotifyOne();
      }
      while ((lane = NextLane()) == nullptr) {
        if (stop_ && Empty()) return wake_.NotifyAll();
        wake_.Wait(&mutex_);
      }
      job = lane->Next();
      who = job.who;
      lane->running.push_back(who);
    }
    job.job(connection);
  }
}

}  // namespace backflip::preference_broker
