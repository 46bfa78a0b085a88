// Labelers by the hundred against a broker, over gRPC or as JSON over HTTP.
// measure_labeling.py starts what this needs, and reads what it prints (one JSON object).
//
//   labeling_load --mode fill      opens questions on clips like those of hopper_backflip_guided
//   labeling_load --mode answers   each labeler answers as fast as it can
//   labeling_load --mode latency   each answers every --period_ms, whatever the broker does
//   labeling_load --mode faults    the same; some never answer, some answer twice, and all
//                                  ask again until they are acknowledged. Acknowledged
//                                  labels are written to --acknowledged
//
// Labeler i shows the token "load labeler i"; fill takes those of --tokens.
#include <sys/resource.h>

#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "backflip/v1/label.grpc.pb.h"
#include "common/base/random.h"
#include "common/base/status_macros.h"
#include "common/rpc/client.h"
#include "common/rpc/limits.h"
#include "tools/labeling_fill.h"
#include "tools/labeling_lines.h"

ABSL_FLAG(std::string, mode, "", "fill, answers, latency or faults");
ABSL_FLAG(std::string, broker, "", "the broker's gRPC address");
ABSL_FLAG(std::string, http, "",
          "host:port of the broker's HTTP side: labelers then speak JSON to it");
ABSL_FLAG(
    bool, tls, false,
    "--http is reached by TLS, whatever its certificate, and tokens are sent as pages do: in a "
    "cookie");
ABSL_FLAG(int, labelers, 1, "how many at once");
ABSL_FLAG(double, seconds, 10, "how long");
ABSL_FLAG(int, period_ms, 3000, "latency, faults: time from one answer to the next");
ABSL_FLAG(std::string, tokens, "", "fill: folder of the roles' token files");
ABSL_FLAG(int, questions, 1000, "fill: how many");
ABSL_FLAG(std::string, acknowledged, "",
          "faults: file for a line `label lease key choice labeler` each");

namespace backflip::tools {
namespace {

constexpr int kChannels = 4;
constexpr double kNeverAnswers = 0.10;
constexpr double kAnswersTwice = 0.05;

struct Acknowledged {
  int64_t label;
  std::string lease;
  std::string key;
  v1::Choice choice;
  int labeler;
};

// What is counted, and shared by all labelers.
struct Tally {
  Clock::time_point begin;
  Clock::time_point end;
  std::vector<double> lease_ms;
  // From when the answer was due until the next pair was there.
  std::vector<double> next_pair_ms;
  std::vector<Acknowledged> acknowledged;
  int64_t answers = 0;
  int64_t dry = 0;
  int64_t abandoned = 0;
  int64_t twice = 0;
  int64_t doubled = 0;
  int64_t retries = 0;
  std::map<std::string, int64_t> errors;

  void Failed(const absl::Status& status) {
    ++errors[absl::StrCat(absl::StatusCodeToString(status.code()), ": ", status.message())
                 .substr(0, 160)];
  }
};

double Ms(Clock::duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

v1::Choice Draw(std::mt19937_64& random) { return random() % 2 == 0 ? v1::LEFT : v1::RIGHT; }

asio::awaitable<void> Sleep(asio::io_context& context, Clock::time_point until) {
  asio::steady_timer timer(context, until);
  error_code ignored;
  co_await timer.async_wait(Into(ignored));
}

asio::awaitable<void> AnswerFast(Line& line, Tally& tally, int labeler) {
  std::mt19937_64 random(labeler);
  while (Clock::now() < tally.end) {
    const absl::StatusOr<std::string> lease = co_await line.Lease();
    if (!lease.ok()) {
      tally.Failed(lease.status());
      continue;
    }
    if (lease->empty()) {
      ++tally.dry;
      co_return;
    }
    const absl::StatusOr<Label> label =
        co_await line.Submit(*lease, base::RandomHex128(), Draw(random));
    if (!label.ok()) {
      tally.Failed(label.status());
    } else if (Clock::now() < tally.end) {
      ++tally.answers;
    }
  }
}

asio::awaitable<void> AnswerSteadily(asio::io_context& context, Line& line, Tally& tally,
                                     int labeler, int labelers, Clock::duration period) {
  std::mt19937_64 random(labeler);
  // spread over the period, and the first pair is fetched before anything is measured
  Clock::time_point due = tally.begin + period * labeler / labelers;
  co_await Sleep(context, due);
  absl::StatusOr<std::string> lease = co_await line.Lease();
  for (due += period; due < tally.end; due += period) {
    co_await Sleep(context, due);
    if (!lease.ok()) tally.Failed(lease.status());
    if (lease.ok() && lease->empty()) ++tally.dry;
    if (lease.ok() && !lease->empty()) {
      const absl::StatusOr<Label> label =
          co_await line.Submit(*lease, base::RandomHex128(), Draw(random));
      if (label.ok()) ++tally.answers;
      if (!label.ok()) tally.Failed(label.status());
    }
    const Clock::time_point asked = Clock::now();
    lease = co_await line.Lease();
    tally.lease_ms.push_back(Ms(Clock::now() - asked));
    tally.next_pair_ms.push_back(Ms(Clock::now() - due));
  }
}

bool IsTransient(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) ||
         absl::IsResourceExhausted(status);
}

// Until it is acknowledged or refused for good.
asio::awaitable<absl::StatusOr<Label>> SubmitSurely(asio::io_context& context, Line& line,
                                                    Tally& tally, const std::string& lease,
                                                    const std::string& key, v1::Choice choice) {
  while (true) {
    absl::StatusOr<Label> label = co_await line.Submit(lease, key, choice);
    if (label.ok() || !IsTransient(label.status())) co_return label;
    ++tally.retries;
    co_await Sleep(context, Clock::now() + std::chrono::milliseconds(200));
  }
}

asio::awaitable<void> AnswerUnreliably(asio::io_context& context, Line& line, Tally& tally,
                                       int labeler, int labelers, Clock::duration period) {
  std::mt19937_64 random(labeler);
  std::uniform_real_distribution<double> uniform;
  std::string lease;
  for (Clock::time_point due = tally.begin + period * labeler / labelers; due < tally.end;
       due += period) {
    co_await Sleep(context, due);
    const double fate = uniform(random);
    if (lease.empty()) {
      // nothing to answer
    } else if (fate < kNeverAnswers) {
      ++tally.abandoned;
    } else {
      const std::string key = base::RandomHex128();
      const v1::Choice choice = Draw(random);
      const absl::StatusOr<Label> label =
          co_await SubmitSurely(context, line, tally, lease, key, choice);
      if (label.ok()) {
        ++tally.answers;
        tally.acknowledged.push_back({label->id, lease, key, choice, labeler});
        if (fate < kNeverAnswers + kAnswersTwice) {
          ++tally.twice;
          // the same call again, and the same answer as if it were a new one
          for (const std::string& again : {key, base::RandomHex128()}) {
            const absl::StatusOr<Label> second =
                co_await SubmitSurely(context, line, tally, lease, again, choice);
            if (!second.ok()) tally.Failed(second.status());
            if (second.ok() && second->id != label->id) ++tally.doubled;
          }
        }
      } else {
        tally.Failed(label.status());
      }
    }
    lease.clear();
    while (lease.empty() && Clock::now() < tally.end) {
      absl::StatusOr<std::string> next = co_await line.Lease();
      if (next.ok()) {
        lease = *std::move(next);
        if (lease.empty()) ++tally.dry;
        break;
      }
      if (!IsTransient(next.status())) {
        tally.Failed(next.status());
        break;
      }
      ++tally.retries;
      co_await Sleep(context, Clock::now() + std::chrono::milliseconds(200));
    }
  }
}

// Of the whole sample.
double Percentile(std::vector<double> sample, double share) {
  if (sample.empty()) return 0;
  const size_t at =
      std::min(sample.size() - 1, static_cast<size_t>(std::ceil(share * sample.size())) - 1);
  std::nth_element(sample.begin(), sample.begin() + at, sample.end());
  return sample[at];
}

nlohmann::json Summary(const std::vector<double>& sample) {
  return {{"n", sample.size()},
          {"p50_ms", Percentile(sample, 0.5)},
          {"p90_ms", Percentile(sample, 0.9)},
          {"p99_ms", Percentile(sample, 0.99)},
          {"max_ms", Percentile(sample, 1)}};
}

// Of --http.
absl::StatusOr<tcp::endpoint> ParseEndpoint(const std::string& address) {
  int port = 0;
  const size_t colon = address.rfind(':');
  if (colon != std::string::npos && absl::SimpleAtoi(address.substr(colon + 1), &port)) {
    error_code error;
    const tcp::endpoint endpoint(asio::ip::make_address(address.substr(0, colon), error), port);
    if (!error) return endpoint;
  }
  return absl::InvalidArgumentError("--http must be an IP address and a port");
}

std::vector<std::unique_ptr<v1::LabelingService::Stub>> Connections() {
  std::vector<std::unique_ptr<v1::LabelingService::Stub>> stubs;
  for (int i = 0; i < kChannels; ++i) {
    grpc::ChannelArguments arguments;
    arguments.SetInt("backflip.load", i);  // or all would share one connection
    arguments.SetMaxReceiveMessageSize(rpc::kMaxMessageBytes);
    arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
    arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1000);
    arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000);
    stubs.push_back(v1::LabelingService::NewStub(grpc::CreateCustomChannel(
        absl::GetFlag(FLAGS_broker), grpc::InsecureChannelCredentials(), arguments)));
  }
  return stubs;
}

absl::Status PrintResult(const std::string& mode, const Tally& tally) {
  const double seconds = absl::GetFlag(FLAGS_seconds);
  nlohmann::json result = {{"mode", mode},
                           {"protocol", absl::GetFlag(FLAGS_http).empty() ? "grpc" : "json"},
                           {"labelers", absl::GetFlag(FLAGS_labelers)},
                           {"seconds", seconds},
                           {"answers", tally.answers},
                           {"answers_per_second", tally.answers / seconds},
                           {"nothing_to_label", tally.dry},
                           {"errors", tally.errors}};
  if (mode == "latency") {
    result["lease"] = Summary(tally.lease_ms);
    result["next_pair"] = Summary(tally.next_pair_ms);
  }
  if (mode == "faults") {
    result["abandoned"] = tally.abandoned;
    result["answered_twice"] = tally.twice;
    result["doubled"] = tally.doubled;
    result["retries"] = tally.retries;
    std::ofstream file(absl::GetFlag(FLAGS_acknowledged));
    for (const Acknowledged& a : tally.acknowledged) {
      file << a.label << ' ' << a.lease << ' ' << a.key << ' ' << v1::Choice_Name(a.choice) << ' '
           << a.labeler << '\n';
    }
    if (!file.flush()) return absl::InternalError("cannot write --acknowledged");
  }
  std::printf("%s\n", result.dump().c_str());
  return absl::OkStatus();
}

absl::Status Load(const std::string& mode) {
  rlimit files = {};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);

  asio::io_context context(1);
  const int labelers = absl::GetFlag(FLAGS_labelers);
  const auto period = std::chrono::milliseconds(absl::GetFlag(FLAGS_period_ms));
  std::vector<std::unique_ptr<v1::LabelingService::Stub>> stubs;
  tcp::endpoint endpoint;
  const std::string address = absl::GetFlag(FLAGS_http);
  if (address.empty()) {
    stubs = Connections();
  } else {
    ASSIGN_OR_RETURN(endpoint, ParseEndpoint(address));
  }
  asio::ssl::context tls(asio::ssl::context::tls_client);
  std::vector<std::unique_ptr<Line>> lines;
  Tally tally;
  tally.begin = Clock::now() + std::chrono::milliseconds(100);
  tally.end = tally.begin + std::chrono::duration_cast<Clock::duration>(
                                std::chrono::duration<double>(absl::GetFlag(FLAGS_seconds)));
  for (int i = 0; i < labelers; ++i) {
    if (address.empty()) {
      lines.push_back(std::make_unique<GrpcLine>(&context, stubs[i % kChannels].get(), i));
    } else {
      lines.push_back(std::make_unique<HttpLine>(&context, endpoint, i,
                                                 absl::GetFlag(FLAGS_tls) ? &tls : nullptr));
    }
    Line& line = *lines.back();
    if (mode == "answers") asio::co_spawn(context, AnswerFast(line, tally, i), asio::detached);
    if (mode == "latency") {
      asio::co_spawn(context, AnswerSteadily(context, line, tally, i, labelers, period),
                     asio::detached);
    }
    if (mode == "faults") {
      asio::co_spawn(context, AnswerUnreliably(context, line, tally, i, labelers, period),
                     asio::detached);
    }
  }
  context.run();
  return PrintResult(mode, tally);
}

}  // namespace
}  // namespace backflip::tools

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  const std::string mode = absl::GetFlag(FLAGS_mode);
  absl::Status status =
      absl::InvalidArgumentError("--mode must be fill, answers, latency or faults");
  if (mode == "fill") {
    status = backflip::tools::FillWithQuestions(
        absl::GetFlag(FLAGS_broker), absl::GetFlag(FLAGS_tokens), absl::GetFlag(FLAGS_questions));
  }
  if (mode == "answers" || mode == "latency" || mode == "faults") {
    status = backflip::tools::Load(mode);
  }
  if (status.ok()) return 0;
  std::fprintf(stderr, "labeling_load: %s\n", status.ToString().c_str());
  return 1;
}
