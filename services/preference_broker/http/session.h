// Connections of the HTTP server, and the threads that carry them.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_HTTP_SESSION_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_HTTP_SESSION_H_

// before Asio 1.74, which misses it with GCC 12
// clang-format off
#include <utility>
// clang-format on
#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <unordered_map>

#include "common/base/mutex.h"
#include "services/preference_broker/http/gateway.h"
#include "services/preference_broker/http/server.h"

namespace backflip::preference_broker {

class Session;

// What all connections share.
struct Shared {
  Shared(const HttpOptions& o, const std::shared_ptr<grpc::Channel>& channel, CheckToken check,
         Pages pages)
      : options(o), gateway(channel, std::move(check), std::move(pages)) {
    gateway.AnswerHealthBy(o.ready);
  }

  const HttpOptions options;
  Gateway gateway;
  // For what takes milliseconds and more, so that all other connections go on meanwhile.
  boost::asio::thread_pool heavy{2};
  rpc::Slots connections_from;  // by address
  std::atomic<bool> draining{false};

  base::Mutex mutex;
  base::CondVar ended;
  int64_t connections ABSL_GUARDED_BY(mutex) = 0;
  // Bytes of bodies that have come in part and of answers that are being read: of all addresses,
  // and of each that has some.
  int64_t pending ABSL_GUARDED_BY(mutex) = 0;
  std::unordered_map<std::string, int64_t> pending_of ABSL_GUARDED_BY(mutex);

  // Counts `change` more; false: that is more than all, or this one, may have.
  bool Pend(const std::string& address, int64_t change);
  int64_t Connections() {
    base::MutexLock lock(&mutex);
    return connections;
  }
  void Count(int change) {
    base::MutexLock lock(&mutex);
    connections += change;
    if (connections == 0) ended.NotifyAll();
  }
};

// A thread and its connections. A connection stays on its thread, so that nothing here needs a
// lock. Lives as long as something may still be posted to it.
struct Shard {
  explicit Shard(Shared* s) : shared(s), work(context.get_executor()), sweep(context) {}

  Shared* const shared;
  boost::asio::io_context context{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work;
  boost::asio::steady_timer sweep;
  std::set<Session*> sessions;
  std::thread thread;
};

// One connection. To be used from its shard's thread only.
class Session {
 public:
  virtual ~Session() = default;
  // Closes the connection if its deadline has passed.
  virtual void CheckDeadline(std::chrono::steady_clock::time_point now) = 0;
  // Closes the connection if no request is being read or answered.
  virtual void CloseIdle() = 0;
  // Ends the connection soon, also during a request.
  virtual void Abort() = 0;
};

// Takes over a connection that was accepted and counted; its session runs on the shard's
// thread and lives until it ends, and `slot` as long.
void StartSession(std::shared_ptr<Shard> shard, boost::asio::ip::tcp::socket socket,
                  std::shared_ptr<void> slot);
void StartSession(std::shared_ptr<Shard> shard,
                  boost::asio::ssl::stream<boost::asio::ip::tcp::socket> stream,
                  std::shared_ptr<void> slot);

// Has an asynchronous operation store its error instead of throwing it.
inline auto Into(boost::system::error_code& error) {
  return boost::asio::redirect_error(boost::asio::use_awaitable, error);
}

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_HTTP_SESSION_H_
