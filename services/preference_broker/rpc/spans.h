// Moments in the lives of labels: a line each in the log and, where somebody collects traces, a
// span. They are sent by OpenTelemetry's protocol over HTTP, as JSON (OTLP 1.x, "OTLP/HTTP").
#ifndef BACKFLIP_SERVICES_PREFERENCE_BROKER_RPC_SPANS_H_
#define BACKFLIP_SERVICES_PREFERENCE_BROKER_RPC_SPANS_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "common/base/log.h"

namespace backflip::preference_broker {

// The event that a life begins with: the others' spans are under its own.
inline constexpr absl::string_view kQuestionOpened = "question opened";

struct Moment {
  // A short sentence without values: the line's event and the span's name.
  absl::string_view event;
  int64_t run_id = 0;
  int64_t question_id = 0;
  // What ends with it has lasted so long; zero: it is a point in time.
  absl::Duration lasted;
};

// Writes the line and adds the span, whose attributes `fields` are too, to what is sent. Never
// blocks on the network. Thread-safe.
void Tell(const Moment& moment, base::LogFields fields);

// Sends the spans of Tell while it lives, one batch at a time, by a thread of its own. At most one
// at a time in a process; it ends after all calls of Tell.
class SpanSender {
 public:
  // `endpoint`: http:// or https:// and a collector's address; /v1/traces is added. `stack` is
  // the same for all brokers of a stack and tells its traces from those of others. Each second
  // what there is; what is not taken is sent again, less often, for as long as there is room for
  // 4,096 spans. Then the oldest are dropped, and counted.
  static std::unique_ptr<SpanSender> Start(std::string endpoint, std::string stack);
  // Tries once more to send what is left, for two seconds at most.
  virtual ~SpanSender() = default;
};

// Trace ids are the first 16 bytes of a hash of stack, run and question, so that whoever knows
// those can find the trace. As 32 digits.
std::string OtlpTraceId(absl::string_view stack, int64_t run_id, int64_t question_id);

}  // namespace backflip::preference_broker

#endif  // BACKFLIP_SERVICES_PREFERENCE_BROKER_RPC_SPANS_H_
