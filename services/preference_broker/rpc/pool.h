// The only way from calls to the database: a bounded queue and a few threads, each with a
// connection of its own, so that gRPC's threads never block.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_RPC_POOL_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_RPC_POOL_H_

#include <deque>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "common/base/mutex.h"
#include "services/preference_broker/store/db/connection.h"

namespace backflip::preference_broker {

// Thread-safe.
class Pool {
 public:
  using Job = std::function<void(Connection&)>;

  // `queued`: jobs that may wait for a thread.
  Pool(int threads, int queued, const std::function<std::unique_ptr<Connection>()>& connect);
  // Runs all queued jobs first.
  ~Pool();

  // False: the queue is full, and the job was not taken.
  bool Submit(Job job);
  // The same for jobs that can wait: a queue of its own, kPatient times as long, of which one
  // job runs for every few others.
  bool SubmitPatient(Job job);

  // Breaks connections whose server no longer answers (Connection::CutIfStuck): call it each
  // second.
  void CutStuck();

 private:
  static constexpr size_t kPatient = 8;

  void Work(Connection& connection);

  const size_t queued_;
  base::Mutex mutex_;
  base::CondVar wake_;
  std::deque<Job> jobs_ ABSL_GUARDED_BY(mutex_);
  std::deque<Job> patient_ ABSL_GUARDED_BY(mutex_);
  // Other jobs started since the last patient one.
  int passed_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::vector<std::thread> threads_;
};

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_RPC_POOL_H_
