// Counters, gauges and histograms of this process, which Prometheus reads over HTTP. Names follow
// Prometheus' conventions: backflip_…, base units, _total for counters. Values of labels are few
// and known: never people, ids or texts. docs/operating.md has the table of all, which a test
// compares.
#ifndef BACKFLIP_COMMON_METRICS_METRICS_H_
#define BACKFLIP_COMMON_METRICS_METRICS_H_

#include <prometheus/collectable.h>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/metric_family.h>

#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace backflip::metrics {

using prometheus::Counter;
using prometheus::Histogram;
using prometheus::Labels;

// The one of this name and these labels, made by the first call; it lives as long as the process.
// All of one name have the same help and the same names of labels. Thread-safe. Looking one up
// takes a lock and some hashing: keep what is counted often in a static variable.
Counter& GetCounter(const std::string& name, const std::string& help, const Labels& labels = {});
// `name` is in seconds; buckets end at 1 ms to 100 s, ten of them.
Histogram& GetDurations(const std::string& name, const std::string& help,
                        const Labels& labels = {});
// The same, of what takes from seconds to days.
Histogram& GetAges(const std::string& name, const std::string& help, const Labels& labels = {});

// Counts its lifetime as waiting for `reason`, a literal: backflip_wait_seconds_total, which grows
// meanwhile.
class Waiting {
 public:
  explicit Waiting(const char* reason);
  ~Waiting();
  Waiting(const Waiting&) = delete;
  Waiting& operator=(const Waiting&) = delete;

 private:
  const char* const reason_;
  const absl::Time since_ = absl::Now();
};

// Values that are looked up when they are read: metrics of one family are of one name.
class Source : public prometheus::Collectable {};

// A family of gauges (or, `counter`, counters) to return from Source::Collect.
class Family {
 public:
  Family(const std::string& name, const std::string& help, bool counter = false);
  void Add(double value, const Labels& labels = {});
  prometheus::MetricFamily Take() && { return std::move(family_); }

 private:
  prometheus::MetricFamily family_;
};

// Serves all of the above where --metrics_listen (defined here) says, from now until the process
// ends, with backflip_build_info and what Linux knows of the process; the address is logged.
// Without the flag it does nothing. INVALID_ARGUMENT: that is no address to listen on. Call it
// once.
absl::Status ServeByFlag();
// Reads this source, too, for as long as it lives. Nothing without a server.
void AddSource(const std::shared_ptr<Source>& source);

}  // namespace backflip::metrics

#endif  // BACKFLIP_COMMON_METRICS_METRICS_H_
