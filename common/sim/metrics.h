// Figures of an episode, as a task declares them.
#ifndef BACKFLIP_COMMON_SIM_METRICS_H_
#define BACKFLIP_COMMON_SIM_METRICS_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "backflip/v1/task.pb.h"
#include "common/sim/expression.h"

namespace backflip::sim {

// One metric, fed one moment after the other. Not thread-safe.
class MetricAccumulator {
 public:
  // `names` and `values` as for Expression::Compile.
  static absl::StatusOr<MetricAccumulator> Create(const v1::Metric& metric,
                                                  absl::Span<const std::string> names,
                                                  double* values);

  // The quantities hold the moment at which an episode begins.
  void Begin();
  // The quantities hold the moment after a step.
  void Step();

  // Over the steps since Begin.
  double value() const { return value_; }

 private:
  MetricAccumulator() = default;
  void CountStep();

  v1::Metric::ValueCase kind_ = v1::Metric::VALUE_NOT_SET;
  // of a sum, max or change; `change` of a count
  std::vector<Expression> expression_;
  // of a count
  std::vector<Expression> at_, once_, never_;

  double value_ = 0;
  // of a change: at the beginning; of a count: at the moment before, if any
  std::optional<double> start_;
  bool first_ = true;
  bool once_seen_ = false;
  bool never_seen_ = false;
};

}  // namespace backflip::sim

#endif  // BACKFLIP_COMMON_SIM_METRICS_H_
