// The only way from calls to the database: bounded queues and a few threads, each with a
// connection of its own, so that gRPC's threads never block.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_RPC_POOL_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_RPC_POOL_H_

#include <array>
#include <deque>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "common/base/mutex.h"
#include "services/preference_broker/store/db/connection.h"

namespace backflip::preference_broker {

// Kinds of jobs, each with queues of its own.
enum class Lane {
  // What labelers and services wait for. One thread is always left to these.
  kShort,
  // Streams, of which a page or a whole upload may be large: on at most half of the threads.
  kBulk,
  // What reviewers and operators ask for, which may take seconds: on at most a quarter.
  kReview,
};

// Thread-safe.
class Pool {
 public:
  using Job = std::function<void(Connection&)>;

  // `queued`: jobs of a lane that may wait for a thread. With one thread it serves all lanes.
  Pool(int threads, int queued, const std::function<std::unique_ptr<Connection>()>& connect);
  // Runs all queued jobs first.
  ~Pool();

  // `who`: for whom, a hash of what tells callers apart; 0: the broker itself. Of those who wait in
  // a lane the first runs that has none running there. False: the queue is full, or half of it is
  // of this caller, and the job was not taken.
  bool Submit(Job job, Lane lane = Lane::kShort, size_t who = 0);
  // The same for jobs that can wait: a queue of its own, kPatient times as long, of which one
  // job runs for every few others of the lane.
  bool SubmitPatient(Job job, Lane lane = Lane::kShort, size_t who = 0);

  // Jobs of a lane that wait for a thread.
  size_t Queued(Lane lane);

  // Breaks connections whose server no longer answers (Connection::CutIfStuck): call it each
  // second.
  void CutStuck();

 private:
  static constexpr size_t kPatient = 8;
  static constexpr size_t kLanes = 3;
  struct Entry {
    Job job;
    size_t who = 0;
  };
  struct Jobs {
    // Takes the next job, of which there is one.
    Entry Next();
    bool empty() const { return jobs.empty() && patient.empty(); }
    int Running() const { return static_cast<int>(running.size()); }

    std::deque<Entry> jobs;
    std::deque<Entry> patient;
    int passed = 0;               // other jobs started since the last patient one
    std::vector<size_t> running;  // for whom
    int most = 0;                 // threads
  };

  void Work(Connection& connection);
  // The lane that a free thread serves next, in turn; nullptr: none now.
  Jobs* NextLane() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool Empty() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  Jobs& Of(Lane lane) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return lanes_[static_cast<size_t>(lane)];
  }

  const size_t queued_;
  base::Mutex mutex_;
  base::CondVar wake_;
  std::array<Jobs, kLanes> lanes_ ABSL_GUARDED_BY(mutex_);
  size_t last_ ABSL_GUARDED_BY(mutex_) = 0;  // the lane that was served last
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::vector<std::thread> threads_;
};

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_RPC_POOL_H_
