#include "services/preference_broker/broker.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/time/clock.h"
#include "common/base/log.h"
#include "common/base/random.h"
#include "common/base/status_macros.h"
#include "common/metrics/metrics.h"
#include "common/rpc/certificates.h"
#include "services/preference_broker/store/db/migrate.h"
#include "services/preference_broker/store/labeling/feed.h"
#include "services/preference_broker/store/labeling/leases.h"

namespace backflip::preference_broker {
namespace {

constexpr std::chrono::seconds kHousekeeping(1);
// A database that has not answered for so long cannot be worked with.
constexpr absl::Duration kReadyFor = absl::Seconds(10);

}  // namespace

Broker::Broker(BrokerOptions options)
    : options_(std::move(options)),
      origin_(base::RandomHex128()),
      kept_house_(absl::ToUnixSeconds(absl::Now())) {
  options_.http.ready = [this] { return Ready(); };
}

absl::StatusOr<std::unique_ptr<Broker>> Broker::Start(BrokerOptions options) {
  auto broker = std::unique_ptr<Broker>(new Broker(std::move(options)));
  {
    Connection connection(broker->options_.database, broker->origin_, nullptr);
    RETURN_IF_ERROR(CheckSessions(broker->options_.database));
    RETURN_IF_ERROR(CheckSchema(connection));
    if (!broker->options_.otlp_endpoint.empty()) {
      ASSIGN_OR_RETURN(std::string made, DatabaseMadeAt(connection));
      broker->spans_ = SpanSender::Start(broker->options_.otlp_endpoint, std::move(made));
    }
  }
  broker->pool_ = std::make_unique<Pool>(
      broker->options_.connections, broker->options_.queued_calls, [b = broker.get()] {
        return std::make_unique<Connection>(
            b->options_.database, b->origin_,
            [b](const std::string& topic) { b->hub_.Signal(topic); });
      });
  const CallContext core{broker->pool_.get(), &broker->hub_, &broker->authenticator_};
  broker->numberer_ = std::make_unique<FeedNumberer>(core);
  broker->services_.push_back(MakeRunService(core));
  broker->services_.push_back(MakeClipService(core));
  broker->services_.push_back(
      MakeLabelingService(core, broker->options_.leases, broker->numberer_.get()));
  broker->services_.push_back(MakePeopleService(core, broker->numberer_.get()));
  broker->services_.push_back(MakeTrainingService(core));
  broker->services_.push_back(MakeSnapshotService(core));
  broker->services_.push_back(MakeBundleService(core));
  broker->services_.push_back(MakeClaimService(core, broker->options_.leases));
  broker->services_.push_back(MakeWorkService(core));
  broker->services_.push_back(MakeRestartService(core));
  broker->services_.push_back(MakeReviewService(core, broker->numberer_.get()));
  broker->services_.push_back(MakeOperationService(core));
  broker->services_.push_back(MakeTraceService(core));
  broker->services_.push_back(MakeConfigService(core));
  const std::string& authority = broker->options_.worker_authority;
  broker->services_.push_back(MakeWorkerService(core, authority));
  broker->listener_ = std::thread([b = broker.get()] {
    ListenForTopics(
        b->options_.database, b->origin_, [b] { return b->stop_.load(); },
        [b](const std::string& topic) { b->hub_.Signal(topic); });
  });
  rpc::ServerOptions server;
  if (!authority.empty()) {
    RETURN_IF_ERROR(rpc::Authority::Read(authority).status());
    server.without_certificate = {"/backflip.v1.WorkerService/Join"};
  }
  server.listen = broker->options_.listen;
  for (const auto& service : broker->services_) server.services.push_back(service.get());
  const auto end_long_polls = [b = broker.get()] { b->hub_.Drain(); };
  server.on_drain = end_long_polls;
  ASSIGN_OR_RETURN(broker->server_, rpc::Server::Start(std::move(server)));
  if (!broker->options_.http.listen.empty()) {
    const auto check = [core](const std::string& token, std::function<void(absl::Status)> done) {
      const bool taken = core.pool->Submit([core, token, done](Connection& connection) {
        done(core.authenticator->Check(connection, token, /*network=*/"").status());
      });
      if (!taken) done(PoolFull());
    };
    ASSIGN_OR_RETURN(broker->http_,
                     HttpServer::Start(broker->options_.http, broker->server_->InProcessChannel(),
                                       check, end_long_polls));
  }
  broker->state_metrics_ = std::make_shared<StateMetrics>(
      broker->pool_.get(), [b = broker.get()] { return b->Ready(); });
  metrics::AddSource(broker->state_metrics_);
  broker->housekeeper_ = std::thread([b = broker.get()] { b->RunHousekeeping(); });
  return broker;
}

Broker::~Broker() {
  Drain(absl::ZeroDuration());
  // waits for a reading that has begun
  if (state_metrics_ != nullptr) state_metrics_->End();
  pool_.reset();
}

void Broker::Drain(absl::Duration grace) {
  const absl::Time end = absl::Now() + grace;
  {
    base::MutexLock lock(&mutex_);
    stop_ = true;
    wake_.NotifyAll();
  }
  // before the server whose health it sets
  if (housekeeper_.joinable()) housekeeper_.join();
  if (http_ != nullptr) http_->Drain(grace);
  if (server_ != nullptr) server_->Drain(std::max(end - absl::Now(), absl::ZeroDuration()));
  if (listener_.joinable()) listener_.join();
}

bool Broker::Ready() const { return absl::Now() - absl::FromUnixSeconds(kept_house_) <= kReadyFor; }

void Broker::RunHousekeeping() {
  while (true) {
    {
      base::MutexLock lock(&mutex_);
      if (stop_) return;
      wake_.WaitFor(&mutex_, kHousekeeping);
      if (stop_) return;
    }
    pool_->CutStuck();
    server_->SetServing(Ready());
    // one at a time, however long the database takes; a full pool, or no database: next time
    if (keeping_house_.exchange(true)) continue;
    const bool taken = pool_->Submit([this](Connection& connection) {
      KeepHouse(connection);
      keeping_house_ = false;
    });
    if (!taken) keeping_house_ = false;
  }
}

void Broker::KeepHouse(Connection& connection) {
  const absl::StatusOr<int64_t> expired = ExpireLeases(connection);
  if (!expired.ok()) return;
  kept_house_ = absl::ToUnixSeconds(absl::Now());
  static metrics::Counter& leases = metrics::GetCounter("backflip_leases_expired_total",
                                                        "Leases that ran out without an answer.");
  leases.Increment(static_cast<double>(*expired));
  if (*expired > 0) base::LogInfo("leases expired", {{"leases", *expired}});
  const auto runs = RunsWithUnnumberedLabels(connection);
  if (!runs.ok()) return;
  for (const int64_t run_id : *runs) numberer_->Number(run_id);
}

}  // namespace backflip::preference_broker
