#include "services/preference_broker/rpc/spans.h"

#include <curl/curl.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <nlohmann/json.hpp>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "common/base/hash.h"
#include "common/base/mutex.h"
#include "common/base/random.h"
#include "common/base/rare_warning.h"
#include "common/base/version.h"
#include "common/metrics/metrics.h"

namespace backflip::preference_broker {
namespace {

using Json = nlohmann::json;

constexpr size_t kMostQueued = 4096;
// Between two batches; doubled with each failure, up to the second.
constexpr std::chrono::seconds kPause(1);
constexpr std::chrono::seconds kLongestPause(30);
constexpr long kTimeoutMs = 10'000;
constexpr long kLastTimeoutMs = 2'000;
// OTLP's names of kinds and of what a caller may send again.
constexpr int kInternal = 1;
constexpr long kSendAgain[] = {429, 502, 503, 504};

metrics::Counter& Spans(const char* outcome) {
  return metrics::GetCounter("backflip_spans_total",
                             "Spans of labels' lives by outcome: sent, dropped (the collector "
                             "refused them, or there was no room left).",
                             {{"outcome", outcome}});
}

struct Span {
  std::string event;
  int64_t run_id = 0;
  int64_t question_id = 0;
  absl::Time from;
  absl::Time until;
  Json attributes;
};

// The id of the span that a label's life begins with.
std::string RootId(const std::string& trace_id) { return base::Sha256Hex(trace_id).substr(0, 16); }

Json Attribute(absl::string_view key, const Json& value) {
  Json typed;
  if (value.is_boolean()) {
    typed["boolValue"] = value;
  } else if (value.is_number_float()) {
    typed["doubleValue"] = value;
  } else if (value.is_number()) {
    // 64 bits are strings in protobuf's JSON
    typed["intValue"] = absl::StrCat(value.get<int64_t>());
  } else {
    typed["stringValue"] = value;
  }
  return {{"key", absl::StrCat("backflip.", key)}, {"value", std::move(typed)}};
}

class CurlSpanSender final : public SpanSender {
 public:
  CurlSpanSender(std::string endpoint, std::string stack)
      : url_(absl::StrCat(endpoint.substr(0, endpoint.find_last_not_of('/') + 1), "/v1/traces")),
        stack_(std::move(stack)),
        instance_(base::RandomHex128()) {
    for (const char* outcome : {"sent", "dropped"}) Spans(outcome);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    thread_ = std::thread([this] { Run(); });
  }

  ~CurlSpanSender() override;

  void Add(Span span) {
    base::MutexLock lock(&mutex_);
    queued_.push_back(std::move(span));
    DropWhatIsTooMuch();
  }

 private:
  void DropWhatIsTooMuch() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    while (queued_.size() > kMostQueued) {
      queued_.pop_front();
      Spans("dropped").Increment();
    }
  }

  // Whether the batch is done with: taken, or refused for good.
  bool Send(const std::deque<Span>& batch, long timeout_ms);
  std::string Body(const std::deque<Span>& batch) const;
  void Run();

  const std::string url_;
  const std::string stack_;
  const std::string instance_;
  base::RareWarning trouble_{"spans are not taken"};
  base::Mutex mutex_;
  base::CondVar changed_;
  bool ending_ ABSL_GUARDED_BY(mutex_) = false;
  std::deque<Span> queued_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

// The one that lives, which Tell adds to.
base::Mutex the_sender_mutex;
CurlSpanSender* the_sender ABSL_GUARDED_BY(the_sender_mutex) = nullptr;

CurlSpanSender::~CurlSpanSender() {
  {
    base::MutexLock lock(&the_sender_mutex);
    the_sender = nullptr;
  }
  {
    base::MutexLock lock(&mutex_);
    ending_ = true;
    changed_.NotifyAll();
  }
  thread_.join();
}

std::string CurlSpanSender::Body(const std::deque<Span>& batch) const {
  Json spans = Json::array();
  for (const Span& span : batch) {
    const std::string trace_id = OtlpTraceId(stack_, span.run_id, span.question_id);
    const std::string root = RootId(trace_id);
    const bool begins = span.event == kQuestionOpened;
    Json attributes = Json::array();
    for (const auto& [key, value] : span.attributes.items()) {
      attributes.push_back(Attribute(key, value));
    }
    Json said = {{"traceId", trace_id},
                 {"spanId", begins ? root : base::RandomHex128().substr(0, 16)},
                 {"name", span.event},
                 {"kind", kInternal},
                 {"startTimeUnixNano", absl::StrCat(absl::ToUnixNanos(span.from))},
                 {"endTimeUnixNano", absl::StrCat(absl::ToUnixNanos(span.until))},
                 {"attributes", std::move(attributes)}};
    if (!begins) said["parentSpanId"] = root;
    spans.push_back(std::move(said));
  }
  const auto text = [](const char* key, std::string value) -> Json {
    return {{"key", key}, {"value", {{"stringValue", std::move(value)}}}};
  };
  const Json resource = {{"attributes",
                          {text("service.name", "backflip-broker"),
                           text("service.version", std::string(base::Version())),
                           text("service.instance.id", instance_)}}};
  const Json body = {
      {"resourceSpans",
       {{{"resource", resource},
         {"scopeSpans", {{{"scope", {{"name", "backflip"}}}, {"spans", std::move(spans)}}}}}}}};
  return body.dump(-1, ' ', false, Json::error_handler_t::replace);
}

bool CurlSpanSender::Send(const std::deque<Span>& batch, long timeout_ms) {
  const std::string body = Body(batch);
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl(curl_easy_init(),
                                                                 curl_easy_cleanup);
  const std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> headers(
      curl_slist_append(nullptr, "content-type: application/json"), curl_slist_free_all);
  char why[CURL_ERROR_SIZE] = "";
  curl_easy_setopt(curl.get(), CURLOPT_URL, url_.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_HTTPHEADER, headers.get());
  curl_easy_setopt(curl.get(), CURLOPT_POSTFIELDS, body.data());
  curl_easy_setopt(curl.get(), CURLOPT_POSTFIELDSIZE, static_cast<long>(body.size()));
  curl_easy_setopt(curl.get(), CURLOPT_TIMEOUT_MS, timeout_ms);
  curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl.get(), CURLOPT_ERRORBUFFER, why);
  // what it answers says nothing that helps
  const curl_write_callback ignore = [](char*, size_t size, size_t count, void*) {
    return size * count;
  };
  curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, ignore);
  const CURLcode result = curl_easy_perform(curl.get());
  if (result != CURLE_OK) {
    trouble_.Log(url_, *why == '\0' ? curl_easy_strerror(result) : why);
    return false;
  }
  long code = 0;
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &code);
  const bool taken = code >= 200 && code < 300;
  if (!taken) trouble_.Log(url_, absl::StrCat("HTTP status ", code));
  if (!taken && absl::c_linear_search(kSendAgain, code)) return false;
  Spans(taken ? "sent" : "dropped").Increment(static_cast<double>(batch.size()));
  return true;
}

void CurlSpanSender::Run() {
  std::chrono::seconds pause = kPause;
  while (true) {
    std::deque<Span> batch;
    bool last;
    {
      base::MutexLock lock(&mutex_);
      if (!ending_) changed_.WaitFor(&mutex_, pause);
      last = ending_;
      batch = std::exchange(queued_, {});
    }
    if (batch.empty() || Send(batch, last ? kLastTimeoutMs : kTimeoutMs)) {
      if (last) return;
      pause = kPause;
      continue;
    }
    if (last) return;
    pause = std::min(2 * pause, kLongestPause);
    base::MutexLock lock(&mutex_);
    queued_.insert(queued_.begin(), std::make_move_iterator(batch.begin()),
                   std::make_move_iterator(batch.end()));
    DropWhatIsTooMuch();
  }
}

}  // namespace

std::string OtlpTraceId(absl::string_view stack, int64_t run_id, int64_t question_id) {
  return base::Sha256Hex(absl::StrCat(stack, " ", run_id, "-", question_id)).substr(0, 32);
}

void Tell(const Moment& moment, base::LogFields fields) {
  base::LogInfo(moment.event, fields);
  base::MutexLock lock(&the_sender_mutex);
  if (the_sender == nullptr) return;
  const absl::Time now = absl::Now();
  Span span{std::string(moment.event), moment.run_id, moment.question_id,
            now - moment.lasted,       now,           Json::object()};
  for (const auto& [key, field] : fields) {
    std::visit([&, k = std::string(key)](const auto& v) { span.attributes[k] = v; }, field.value);
  }
  the_sender->Add(std::move(span));
}

std::unique_ptr<SpanSender> SpanSender::Start(std::string endpoint, std::string stack) {
  auto sender = std::make_unique<CurlSpanSender>(std::move(endpoint), std::move(stack));
  base::MutexLock lock(&the_sender_mutex);
  the_sender = sender.get();
  return sender;
}

}  // namespace backflip::preference_broker
