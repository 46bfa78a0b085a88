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
#include "services/preference_broker/rpc/spans.h"
#include "services/preference_broker/state_metrics.h"

namespace backflip::preference_broker {

struct BrokerOptions {
  // As libpq understands it: postgresql://user@host/name?...
  std::string database;
  // host:port or unix:path.
  std::string listen;
  // HTTP beside gRPC; none if its `listen` is empty.
  HttpOptions http;
  // Threads for work on the database, each with a connection.
  int connections = 4;
  // Calls that may wait for one of them; further ones are refused as RESOURCE_EXHAUSTED.
  int queued_calls = 512;
  LeaseTimes leases;
  // PEM of the authority (rpc::Authority) that signs certificates of workers that join, for which
  // they need none themselves; empty: none does.
  std::string worker_authority;
  // As of SpanSender; empty: no spans are sent.
  std::string otlp_endpoint;
};

class Broker {
 public:
  // Serves until Drain. FAILED_PRECONDITION: the database's schema is not this program's, or a
  // pooler stands before it that gives each transaction another session.
  // Both health checks say whether the database has answered within ten seconds.
  // UNAVAILABLE: no database, or the address is taken. Other errors: those of
  // HttpServer::Start.
  static absl::StatusOr<std::unique_ptr<Broker>> Start(BrokerOptions options);
  // Drains without grace.
  ~Broker();

  const std::string& address() const { return server_->address(); }
  // URL of the HTTP server; empty: there is none.
  std::string http_url() const { return http_ == nullptr ? "" : http_->url(); }

  // Answers long polls, ends streams, refuses new calls, and gives calls in progress `grace` to
  // end. Blocks until all have ended. Idempotent.
  void Drain(absl::Duration grace);

 private:
  explicit Broker(BrokerOptions options);
  void RunHousekeeping();
  void KeepHouse(Connection& connection);
  // Whether the database has answered lately.
  bool Ready() const;

  BrokerOptions options_;
  // Marks this process's notifications among those of other brokers.
  const std::string origin_;
  Hub hub_;
  Authenticator authenticator_;
  // outlives whoever tells of labels
  std::unique_ptr<SpanSender> spans_;
  std::unique_ptr<Pool> pool_;
  std::unique_ptr<FeedNumberer> numberer_;
  std::vector<std::unique_ptr<grpc::Service>> services_;
  std::unique_ptr<rpc::Server> server_;
  std::unique_ptr<HttpServer> http_;
  std::shared_ptr<StateMetrics> state_metrics_;

  base::Mutex mutex_;
  base::CondVar wake_;
  std::atomic<bool> stop_ = false;
  // Of the newest housekeeping that the database answered; Unix seconds.
  std::atomic<int64_t> kept_house_;
  std::atomic<bool> keeping_house_ = false;
  std::thread housekeeper_;
  std::thread listener_;
};

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_BROKER_H_
