#include "common/metrics/metrics.h"

#include <prometheus/exposer.h>
#include <prometheus/registry.h>

#include <exception>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/strings/str_cat.h"
#include "common/base/flags.h"
#include "common/base/log.h"
#include "common/base/mutex.h"
#include "common/base/version.h"
#include "common/metrics/process.h"

ABSL_FLAG(std::string, metrics_listen, "",
          "address at which Prometheus reads this program's metrics, plain HTTP: HOST:PORT, port "
          "0 takes a free one. They tell numbers of runs, questions and calls, and nothing of "
          "people. Empty: none");

namespace backflip::metrics {
namespace {

const base::FlagRule listen_rule(FLAGS_metrics_listen, "host:port, or nothing",
                                 [](const std::string& address) {
                                   return address.empty() || base::IsHostAndPort(address);
                                 });

std::shared_ptr<prometheus::Registry> TheRegistry() {
  static auto* const registry =
      new std::shared_ptr<prometheus::Registry>(std::make_shared<prometheus::Registry>());
  return *registry;
}

// Null until it is started.
std::unique_ptr<prometheus::Exposer>& TheServer() {
  static auto* const server = new std::unique_ptr<prometheus::Exposer>;
  return *server;
}

Histogram& GetHistogram(const std::string& name, const std::string& help, const Labels& labels,
                        const Histogram::BucketBoundaries& ends) {
  return prometheus::BuildHistogram()
      .Name(name)
      .Help(help)
      .Register(*TheRegistry())
      .Add(labels, ends);
}

// Waits that have ended and those that go on. Thread-safe.
class Waits : public Source {
 public:
  void Begin(const std::string& reason, absl::Time since) {
    base::MutexLock lock(&mutex_);
    of_[reason].since.insert(since);
  }
  void End(const std::string& reason, absl::Time since) {
    base::MutexLock lock(&mutex_);
    OfReason& of = of_[reason];
    of.ended += absl::Now() - since;
    of.since.erase(of.since.find(since));
  }
  std::vector<prometheus::MetricFamily> Collect() const override {
    Family family("backflip_wait_seconds_total",
                  "Time that a learner or trainer had to wait, by what it waited for.",
                  /*counter=*/true);
    base::MutexLock lock(&mutex_);
    for (const auto& [reason, of] : of_) {
      absl::Duration waited = of.ended;
      for (const absl::Time since : of.since) waited += absl::Now() - since;
      family.Add(absl::ToDoubleSeconds(waited), {{"reason", reason}});
    }
    return {std::move(family).Take()};
  }

 private:
  struct OfReason {
    absl::Duration ended;
    std::multiset<absl::Time> since;
  };
  mutable base::Mutex mutex_;
  std::map<std::string, OfReason> of_ ABSL_GUARDED_BY(mutex_);
};

// Lives as long as the process.
const std::shared_ptr<Waits>& SharedWaits() {
  static auto* const waits = new std::shared_ptr<Waits>(std::make_shared<Waits>());
  return *waits;
}
Waits& TheWaits() { return *SharedWaits(); }

class BuildInfo : public Source {
 public:
  std::vector<prometheus::MetricFamily> Collect() const override {
    Family family("backflip_build_info", "1; the labels say which program of which version it is.");
    family.Add(1, {{"version", std::string(base::Version())}});
    return {std::move(family).Take()};
  }
};

}  // namespace

Counter& GetCounter(const std::string& name, const std::string& help, const Labels& labels) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(*TheRegistry()).Add(labels);
}

Histogram& GetDurations(const std::string& name, const std::string& help, const Labels& labels) {
  return GetHistogram(name, help, labels, {0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100});
}

Histogram& GetAges(const std::string& name, const std::string& help, const Labels& labels) {
  return GetHistogram(name, help, labels, {1, 3, 10, 30, 60, 180, 600, 1800, 3600, 14400, 86400});
}

Waiting::Waiting(const char* reason) : reason_(reason) { TheWaits().Begin(reason_, since_); }
Waiting::~Waiting() { TheWaits().End(reason_, since_); }

Family::Family(const std::string& name, const std::string& help, bool counter) {
  family_.name = name;
  family_.help = help;
  family_.type = counter ? prometheus::MetricType::Counter : prometheus::MetricType::Gauge;
}

void Family::Add(double value, const Labels& labels) {
  prometheus::ClientMetric& metric = family_.metric.emplace_back();
  for (const auto& [name, text] : labels) {
    prometheus::ClientMetric::Label& label = metric.label.emplace_back();
    label.name = name;
    label.value = text;
  }
  // what the type does not use is not written
  metric.counter.value = metric.gauge.value = value;
}

absl::Status ServeByFlag() {
  const std::string listen = absl::GetFlag(FLAGS_metrics_listen);
  if (listen.empty()) return absl::OkStatus();
  try {
    TheServer() = std::make_unique<prometheus::Exposer>(listen, /*num_threads=*/2);
  } catch (const std::exception& error) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot serve metrics at --metrics_listen '", listen,
                     "': it must be HOST:PORT of this machine, and free"));
  }
  // they live as long as the process, as the server does
  static const auto* const sources = new std::vector<std::shared_ptr<Source>>{
      std::make_shared<BuildInfo>(), std::make_shared<ProcessSource>(), SharedWaits()};
  for (const auto& source : *sources) AddSource(source);
  TheServer()->RegisterCollectable(TheRegistry());
  const std::vector<int> ports = TheServer()->GetListeningPorts();
  base::LogInfo("serving metrics", {{"address", listen}, {"port", ports.empty() ? 0 : ports[0]}});
  return absl::OkStatus();
}

void AddSource(const std::shared_ptr<Source>& source) {
  if (TheServer() != nullptr) TheServer()->RegisterCollectable(source);
}

}  // namespace backflip::metrics
