// The preference-broker: everything that `serve` runs.
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_BROKER_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_BROKER_H_

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/base/mutex.h"
#include "common/rpc/server.h"
#include "services/preference_broker/http/server.h"
#include "services/preference_broker/rpc/calls.h"
#include "services/preference_broker/rpc/services.h"

namespace backflip::preference_broker {

struct BrokerOptions {
  // As libpq understands it: postgresql://user@host/name?...
  std::string database;
  // host:port or unix:path.
  std::string listen;
  // Beside gRPC, unless its `listen` is empty.
  HttpOptions http;
  // Threads that work on the database, each with a connection.
  int connections = 4;
  // Calls that may wait for one of them; more are told to come back.
  int queued_calls = 512;
  Leases leases;
};

class Broker {
 public:
  // Serves from now on. FAILED_PRECONDITION: the database's schema is not this
  // program's. UNAVAILABLE: no database, or the address is taken.
  // Or as HttpServer::Start says.
  static absl::StatusOr<std::unique_ptr<Broker>> Start(BrokerOptions options);
  // Drains without grace.
  ~Broker();

  const std::string& address() const { return server_->address(); }
  // Where HTTP is served; empty: nowhere.
  std::string http_url() const { return http_ == nullptr ? "" : http_->url(); }

  // Answers long polls, ends streams, refuses new calls, and gives those in
  // progress `grace` to end. Blocks until all have ended. Idempotent.
  void Drain(absl::Duration grace);

 private:
  explicit Broker(BrokerOptions options);
  void KeepHouse();

  const BrokerOptions options_;
  // Tells this process's notifications from those of other brokers.
  const std::string origin_;
  Hub hub_;
  Authenticator authenticator_;
  std::unique_ptr<Pool> pool_;
  std::unique_ptr<FeedNumberer> numberer_;
  std::vector<std::unique_ptr<grpc::Service>> services_;
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<HttpServer> http_;

  base::Mutex mutex_;
  base::CondVar wake_;
  std::atomic<bool> stop_ = false;
  std::thread housekeeper_;
  std::thread listener_;
};

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_BROKER_H_
