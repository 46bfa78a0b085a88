#include "common/sim/metrics.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "common/base/status_macros.h"

namespace backflip::sim {

absl::StatusOr<MetricAccumulator> MetricAccumulator::Create(const v1::Metric& metric,
                                                            absl::Span<const std::string> names,
                                                            double* values) {
  MetricAccumulator result;
  result.kind_ = metric.value_case();
  const auto add = [&](const std::string& text, std::vector<Expression>* to) -> absl::Status {
    ASSIGN_OR_RETURN(Expression expression, Expression::Compile(text, names, values));
    to->push_back(std::move(expression));
    return absl::OkStatus();
  };
  if (metric.has_count()) {
    RETURN_IF_ERROR(add(metric.count().at(), &result.at_));
    RETURN_IF_ERROR(add(metric.count().change(), &result.expression_));
    if (!metric.count().once().empty()) {
      RETURN_IF_ERROR(add(metric.count().once(), &result.once_));
    }
    if (!metric.count().never().empty()) {
      RETURN_IF_ERROR(add(metric.count().never(), &result.never_));
    }
  } else {
    RETURN_IF_ERROR(add(metric.has_sum()   ? metric.sum()
                        : metric.has_max() ? metric.max()
                                           : metric.change(),
                        &result.expression_));
  }
  return result;
}

void MetricAccumulator::Begin() {
  value_ = 0;
  start_.reset();
  first_ = true;
  once_seen_ = never_seen_ = false;
  if (kind_ == v1::Metric::kChange) start_ = expression_[0].Evaluate();
  if (kind_ == v1::Metric::kCount && at_[0].Evaluate() != 0) {
    start_ = expression_[0].Evaluate();
  }
}

void MetricAccumulator::Step() {
  switch (kind_) {
    case v1::Metric::kSum:
      value_ += expression_[0].Evaluate();
      break;
    case v1::Metric::kMax: {
      const double now = expression_[0].Evaluate();
      value_ = first_ ? now : std::max(value_, now);
      break;
    }
    case v1::Metric::kChange:
      value_ = expression_[0].Evaluate() - *start_;
      break;
    default:
      CountStep();
  }
  first_ = false;
}

void MetricAccumulator::CountStep() {
  once_seen_ = once_seen_ || once_.empty() || once_[0].Evaluate() != 0;
  never_seen_ = never_seen_ || (!never_.empty() && never_[0].Evaluate() != 0);
  if (at_[0].Evaluate() == 0) return;
  const double now = expression_[0].Evaluate();
  if (start_.has_value() && once_seen_ && !never_seen_) {
    value_ += std::max(0.0, std::round(now - *start_));
  }
  start_ = now;
  once_seen_ = never_seen_ = false;
}

}  // namespace backflip::sim
