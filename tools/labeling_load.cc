// Labelers by the hundred against a broker, over gRPC or as JSON over HTTP.
// measure_labeling.py starts what this needs, and reads what it prints (one JSON object).
//
//   labeling_load --mode fill      opens questions on clips like those of hopper_backflip
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
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "backflip/v1/clip.grpc.pb.h"
#include "backflip/v1/label.grpc.pb.h"
#include "backflip/v1/run.grpc.pb.h"
#include "backflip/v1/work.grpc.pb.h"
#include "common/base/hash.h"
#include "common/base/random.h"
#include "common/base/status_macros.h"
#include "common/client/snapshot_client.h"
#include "common/rpc/client.h"
#include "common/rpc/limits.h"
#include "common/rpc/status.h"

ABSL_FLAG(std::string, mode, "", "fill, answers, latency or faults");
ABSL_FLAG(std::string, broker, "", "the broker's gRPC address");
ABSL_FLAG(std::string, http, "",
          "host:port of the broker's HTTP side: labelers then speak JSON to it");
ABSL_FLAG(int, labelers, 1, "");
ABSL_FLAG(double, seconds, 10, "");
ABSL_FLAG(int, period_ms, 3000, "latency, faults: time from one answer to the next");
ABSL_FLAG(std::string, tokens, "", "fill: folder of the roles' token files");
ABSL_FLAG(int, questions, 1000, "fill");
ABSL_FLAG(std::string, acknowledged, "",
          "faults: file for a line `label lease key choice labeler` each");

namespace backflip {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;

constexpr int kSteps = 60;
constexpr int kBodies = 4;
constexpr int kClips = 400;
constexpr int kClipsPerUpload = 40;
constexpr int kQuestionsPerRound = 5000;
constexpr int kChannels = 4;
constexpr double kNeverAnswers = 0.10;
constexpr double kAnswersTwice = 0.05;

asio::redirect_error_t<asio::use_awaitable_t<>> Into(error_code& error) {
  return asio::redirect_error(asio::use_awaitable, error);
}

std::string TokenOf(int labeler) { return absl::StrCat("load labeler ", labeler); }

struct Label {
  int64_t id = 0;
  bool surplus = false;
};

// One labeler's way to the broker. Everything happens on one thread.
class Line {
 public:
  virtual ~Line() = default;
  // A lease; empty when there is nothing to label.
  virtual asio::awaitable<absl::StatusOr<std::string>> Lease() = 0;
  virtual asio::awaitable<absl::StatusOr<Label>> Submit(const std::string& lease,
                                                        const std::string& key,
                                                        v1::Choice choice) = 0;
};

class GrpcLine final : public Line {
 public:
  GrpcLine(asio::io_context* context, v1::LabelingService::Stub* stub, int labeler)
      : context_(context),
        stub_(stub),
        authorization_(absl::StrCat("Bearer ", TokenOf(labeler))),
        wake_(*context) {}

  asio::awaitable<absl::StatusOr<std::string>> Lease() override {
    v1::LeaseRequest request;
    request.set_count(1);
    v1::LeaseResponse response;
    const absl::Status status = co_await Call([&](grpc::ClientContext* c, auto done) {
      stub_->async()->Lease(c, &request, &response, std::move(done));
    });
    if (!status.ok()) co_return status;
    co_return response.questions_size() > 0 ? response.questions(0).lease_id() : std::string();
  }

  asio::awaitable<absl::StatusOr<Label>> Submit(const std::string& lease, const std::string& key,
                                                v1::Choice choice) override {
    v1::SubmitRequest request;
    request.set_lease_id(lease);
    request.set_idempotency_key(key);
    request.mutable_answer()->set_choice(choice);
    request.mutable_timing()->set_decision_ms(3000);
    request.mutable_timing()->set_active_ms(3000);
    request.mutable_timing()->set_loops(2);
    request.set_client("labeling_load/1");
    v1::SubmitResponse response;
    const absl::Status status = co_await Call([&](grpc::ClientContext* c, auto done) {
      stub_->async()->Submit(c, &request, &response, std::move(done));
    });
    if (!status.ok()) co_return status;
    co_return Label{response.label_id(), response.surplus()};
  }

 private:
  template <typename Start>
  asio::awaitable<absl::Status> Call(Start start) {
    grpc::ClientContext context;
    context.AddMetadata("authorization", authorization_);
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    std::optional<grpc::Status> result;
    wake_.expires_at(Clock::time_point::max());
    start(&context, [this, &result](const grpc::Status& status) {
      asio::post(*context_, [this, &result, status] {
        result = status;
        wake_.cancel();
      });
    });
    error_code ignored;
    while (!result.has_value()) co_await wake_.async_wait(Into(ignored));
    co_return rpc::FromGrpc(*result);
  }

  asio::io_context* const context_;
  v1::LabelingService::Stub* const stub_;
  const std::string authorization_;
  asio::steady_timer wake_;
};

// JSON as a script would send it, on a connection that is kept.
class HttpLine final : public Line {
 public:
  HttpLine(asio::io_context* context, tcp::endpoint endpoint, int labeler)
      : context_(context), endpoint_(endpoint), labeler_(labeler) {}

  asio::awaitable<absl::StatusOr<std::string>> Lease() override {
    const absl::StatusOr<std::string> body = co_await Call("Lease", R"({"count":1})");
    if (!body.ok()) co_return body.status();
    co_return Text(*body, "\"leaseId\":\"");
  }

  asio::awaitable<absl::StatusOr<Label>> Submit(const std::string& lease, const std::string& key,
                                                v1::Choice choice) override {
    const std::string request = absl::StrCat(
        R"({"leaseId":")", lease, R"(","idempotencyKey":")", key, R"(","answer":{"choice":")",
        v1::Choice_Name(choice),
        R"("},"timing":{"decisionMs":3000,"activeMs":3000,"loops":2},"client":"labeling_load/1"})");
    const absl::StatusOr<std::string> body = co_await Call("Submit", request);
    if (!body.ok()) co_return body.status();
    Label label;
    if (!absl::SimpleAtoi(Text(*body, "\"labelId\":\""), &label.id)) {
      co_return absl::InternalError(absl::StrCat("no label in ", *body));
    }
    label.surplus = body->find("\"surplus\":true") != std::string::npos;
    co_return label;
  }

 private:
  // What stands between `before` and the next quote; the generator has other
  // things to do than to read all of the poses.
  static std::string Text(const std::string& body, const char* before) {
    const size_t at = body.find(before);
    if (at == std::string::npos) return "";
    const size_t begin = at + std::char_traits<char>::length(before);
    return body.substr(begin, body.find('"', begin) - begin);
  }

  // Codes are enough to know whether to try again.
  static absl::Status StatusOf(unsigned http_status, const std::string& body) {
    if (http_status == 200) return absl::OkStatus();
    if (http_status == 429 || http_status == 503 || http_status == 504)
      return absl::UnavailableError(body);
    return absl::FailedPreconditionError(body);
  }

  asio::awaitable<absl::StatusOr<std::string>> Call(const char* method, const std::string& body) {
    error_code error;
    if (!socket_.has_value()) {
      socket_.emplace(*context_);
      buffer_.clear();
      co_await socket_->async_connect(endpoint_, Into(error));
      if (!error) socket_->set_option(tcp::no_delay(true), error);
    }
    const std::string request = absl::StrCat(
        "POST /backflip.v1.LabelingService/", method,
        " HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ", TokenOf(labeler_),
        "\r\nContent-Type: application/json\r\nContent-Length: ", body.size(), "\r\n\r\n", body);
    if (!error) co_await asio::async_write(*socket_, asio::buffer(request), Into(error));
    http::response_parser<http::string_body> parser;
    parser.body_limit(16 << 20);
    if (!error) co_await http::async_read(*socket_, buffer_, parser, Into(error));
    if (error || !parser.keep_alive()) socket_.reset();
    if (error) co_return absl::UnavailableError(error.message());
    const absl::Status status = StatusOf(parser.get().result_int(), parser.get().body());
    if (!status.ok()) co_return status;
    co_return std::move(parser.get().body());
  }

  asio::io_context* const context_;
  const tcp::endpoint endpoint_;
  const int labeler_;
  std::optional<tcp::socket> socket_;
  boost::beast::flat_buffer buffer_;
};

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
  if (!address.empty()) {
    int port = 0;
    const size_t colon = address.rfind(':');
    error_code error;
    if (colon == std::string::npos || !absl::SimpleAtoi(address.substr(colon + 1), &port)) {
      return absl::InvalidArgumentError("--http must be an IP address and a port");
    }
    endpoint = tcp::endpoint(asio::ip::make_address(address.substr(0, colon), error), port);
    if (error) return absl::InvalidArgumentError("--http must be an IP address and a port");
  } else {
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
  }
  std::vector<std::unique_ptr<Line>> lines;
  Tally tally;
  tally.begin = Clock::now() + std::chrono::milliseconds(100);
  tally.end = tally.begin + std::chrono::duration_cast<Clock::duration>(
                                std::chrono::duration<double>(absl::GetFlag(FLAGS_seconds)));
  for (int i = 0; i < labelers; ++i) {
    if (address.empty()) {
      lines.push_back(std::make_unique<GrpcLine>(&context, stubs[i % kChannels].get(), i));
    } else {
      lines.push_back(std::make_unique<HttpLine>(&context, endpoint, i));
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

  const double seconds = absl::GetFlag(FLAGS_seconds);
  nlohmann::json result = {{"mode", mode},
                           {"protocol", address.empty() ? "grpc" : "json"},
                           {"labelers", labelers},
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

v1::Clip MakeClip(int index) {
  v1::Clip clip;
  clip.set_steps(kSteps);
  clip.set_index(index);
  for (int i = 0; i < (kSteps + 1) * 2; ++i) clip.add_observations(std::sin(0.1f * i + index));
  for (int i = 0; i < kSteps; ++i) clip.add_actions(std::cos(0.1f * i + index));
  clip.mutable_poses()->set_bodies(kBodies);
  for (int step = 0; step <= kSteps; ++step) {
    for (int body = 0; body < kBodies; ++body) {
      const float turn = 0.05f * step + body + 0.37f * index;
      for (const float number : {std::sin(turn), 0.f, 1.25f + 0.3f * std::cos(turn),
                                 std::cos(turn / 2), 0.f, std::sin(turn / 2), 0.f}) {
        clip.mutable_poses()->add_poses(number);
      }
    }
  }
  for (int i = 0; i < (kSteps + 1) * 5; ++i) clip.add_states(std::sin(0.01 * i + index));
  for (int i = 0; i < kSteps; ++i) clip.add_true_rewards(std::sin(0.1f * i));
  return clip;
}

absl::Status Fill() {
  const auto client_of = [](const char* role) -> absl::StatusOr<rpc::Client> {
    ASSIGN_OR_RETURN(std::string token, rpc::ReadTokenFile(absl::StrCat(absl::GetFlag(FLAGS_tokens),
                                                                        "/", role, ".token")));
    return rpc::Client(absl::GetFlag(FLAGS_broker), std::move(token));
  };
  ASSIGN_OR_RETURN(const rpc::Client as_operator, client_of("operator"));
  ASSIGN_OR_RETURN(const rpc::Client as_trainer, client_of("trainer"));
  ASSIGN_OR_RETURN(const rpc::Client as_worker, client_of("worker"));

  const std::string bundle = "no bundle";
  RETURN_IF_ERROR(client::PutBundle(as_operator, bundle));
  v1::CreateRunRequest create;
  create.set_request_id(base::RandomHex128());
  create.mutable_spec()->set_labels(1'000'000);
  // these labelers answer as no person may
  v1::Quality& quality = *create.mutable_spec()->mutable_quality();
  quality.set_max_fast_answers(0);
  quality.set_max_cannot_tells(0);
  quality.set_max_one_sided(0);
  v1::TaskInfo& task = *create.mutable_task();
  task.set_name("load");
  task.set_bundle_hash(base::Sha256Hex(bundle));
  task.set_fingerprint("load");
  task.set_observation_size(2);
  task.set_action_size(1);
  task.set_episode_steps(300);
  task.set_evaluation_steps(1000);
  task.set_clip_steps(kSteps);
  task.set_has_true_reward(true);
  task.set_question("Which is better?");
  task.set_step_seconds(0.008);
  task.set_playback_fps(40);
  v1::Run run;
  RETURN_IF_ERROR(rpc::FromGrpc(v1::RunService::NewStub(as_operator.channel())
                                    ->Create(as_operator.UnaryContext().get(), create, &run)));

  v1::ClaimRequest claim;
  claim.set_claimant(base::RandomHex128());
  claim.set_advertise("127.0.0.1:1");
  v1::ClaimResponse claimed;
  RETURN_IF_ERROR(rpc::FromGrpc(v1::ClaimService::NewStub(as_trainer.channel())
                                    ->Claim(as_trainer.UnaryContext().get(), claim, &claimed)));

  std::vector<std::string> clips;
  const auto clip_stub = v1::ClipService::NewStub(as_worker.channel());
  for (int i = 0; i < kClips; i += kClipsPerUpload) {
    v1::UploadClipsRequest upload;
    upload.set_run_id(run.id());
    for (int k = 0; k < kClipsPerUpload; ++k) *upload.add_clips() = MakeClip(i + k);
    v1::UploadClipsResponse uploaded;
    RETURN_IF_ERROR(
        rpc::FromGrpc(clip_stub->Upload(as_worker.UnaryContext().get(), upload, &uploaded)));
    clips.insert(clips.end(), uploaded.clip_ids().begin(), uploaded.clip_ids().end());
  }

  std::mt19937_64 random(1);
  const auto training = v1::TrainingService::NewStub(as_trainer.channel());
  const int questions = absl::GetFlag(FLAGS_questions);
  for (int asked = 0, round = 0; asked < questions; ++round) {
    v1::OpenQuestionsRequest open;
    open.set_run_id(run.id());
    open.set_epoch(claimed.epoch());
    open.set_round(round);
    open.set_selector("RANDOM");
    for (int i = 0; i < kQuestionsPerRound && asked < questions; ++i, ++asked) {
      v1::NewQuestion& question = *open.add_questions();
      const size_t first = random() % clips.size();
      question.add_clip_ids(clips[first]);
      question.add_clip_ids(clips[(first + 1 + random() % (clips.size() - 1)) % clips.size()]);
      question.set_purpose(v1::TRAIN);
      // some want more answers than one
      question.set_overlap(asked % 4 == 0 ? 3 : 1);
    }
    v1::OpenQuestionsResponse opened;
    RETURN_IF_ERROR(rpc::FromGrpc(
        training->OpenQuestions(as_trainer.UnaryContext(absl::Seconds(60)).get(), open, &opened)));
    // a claim ends when it is not renewed
    v1::RenewClaimRequest renew;
    renew.set_run_id(run.id());
    renew.set_epoch(claimed.epoch());
    v1::RenewClaimResponse renewed;
    RETURN_IF_ERROR(rpc::FromGrpc(v1::ClaimService::NewStub(as_trainer.channel())
                                      ->Renew(as_trainer.UnaryContext().get(), renew, &renewed)));
  }
  std::printf("%s\n", nlohmann::json({{"run", run.id()}, {"questions", questions}}).dump().c_str());
  return absl::OkStatus();
}

}  // namespace
}  // namespace backflip

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  const std::string mode = absl::GetFlag(FLAGS_mode);
  absl::Status status =
      absl::InvalidArgumentError("--mode must be fill, answers, latency or faults");
  if (mode == "fill") status = backflip::Fill();
  if (mode == "answers" || mode == "latency" || mode == "faults") status = backflip::Load(mode);
  if (status.ok()) return 0;
  std::fprintf(stderr, "labeling_load: %s\n", status.ToString().c_str());
  return 1;
}
