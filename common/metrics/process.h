// What Linux knows of this process, by the names that Prometheus' own libraries use.
#ifndef BACKFLIP_COMMON_METRICS_PROCESS_H_
#define BACKFLIP_COMMON_METRICS_PROCESS_H_

#include "common/metrics/metrics.h"

namespace backflip::metrics {

class ProcessSource : public Source {
 public:
  std::vector<prometheus::MetricFamily> Collect() const override;
};

}  // namespace backflip::metrics

#endif  // BACKFLIP_COMMON_METRICS_PROCESS_H_
