// The ways of a labeler of tools/labeling_load to the broker: gRPC, or JSON over HTTP.
#ifndef BACKFLIP_TOOLS_LABELING_LINES_H_
#define BACKFLIP_TOOLS_LABELING_LINES_H_

#include <algorithm>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "backflip/v1/label.grpc.pb.h"
#include "common/base/random.h"
#include "common/base/status_macros.h"
#include "common/rpc/client.h"
#include "common/rpc/status.h"

namespace backflip::tools {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;

inline asio::redirect_error_t<asio::use_awaitable_t<>> Into(error_code& error) {
  return asio::redirect_error(asio::use_awaitable, error);
}

inline std::string TokenOf(int labeler) { return absl::StrCat("load labeler ", labeler); }

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

// JSON on a connection that is kept: as a script would send it, or, with `tls`, as a page does,
// whose token is in a cookie.
class HttpLine final : public Line {
 public:
  // `tls`: not owned; null: plain HTTP.
  HttpLine(asio::io_context* context, tcp::endpoint endpoint, int labeler, asio::ssl::context* tls)
      : context_(context),
        endpoint_(endpoint),
        tls_(tls),
        credentials_(tls == nullptr
                         ? absl::StrCat("Authorization: Bearer ", TokenOf(labeler))
                         : absl::StrCat("Backflip-Page: labeling\r\nSec-Fetch-Site: same-origin\r\n"
                                        "Cookie: __Host-backflip-labeling-",
                                        endpoint.port(), "=", TokenOf(labeler))) {}

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
      // the handshake is left out where there is no TLS
      static asio::ssl::context none(asio::ssl::context::tls_client);
      socket_.emplace(*context_, tls_ == nullptr ? none : *tls_);
      buffer_.clear();
      co_await socket_->next_layer().async_connect(endpoint_, Into(error));
      if (!error) socket_->next_layer().set_option(tcp::no_delay(true), error);
      if (!error && tls_ != nullptr)
        co_await socket_->async_handshake(asio::ssl::stream_base::client, Into(error));
    }
    const std::string request = absl::StrCat(
        "POST /backflip.v1.LabelingService/", method, " HTTP/1.1\r\nHost: localhost\r\n",
        credentials_, "\r\nContent-Type: application/json\r\nContent-Length: ", body.size(),
        "\r\n\r\n", body);
    http::response_parser<http::string_body> parser;
    parser.body_limit(16 << 20);
    if (!error && tls_ != nullptr) error = co_await Exchange(*socket_, request, parser);
    if (!error && tls_ == nullptr)
      error = co_await Exchange(socket_->next_layer(), request, parser);
    if (error || !parser.keep_alive()) socket_.reset();
    if (error) co_return absl::UnavailableError(error.message());
    const absl::Status status = StatusOf(parser.get().result_int(), parser.get().body());
    if (!status.ok()) co_return status;
    co_return std::move(parser.get().body());
  }

  template <typename Stream>
  asio::awaitable<error_code> Exchange(Stream& stream, const std::string& request,
                                       http::response_parser<http::string_body>& parser) {
    error_code error;
    co_await asio::async_write(stream, asio::buffer(request), Into(error));
    if (!error) co_await http::async_read(stream, buffer_, parser, Into(error));
    co_return error;
  }

  asio::io_context* const context_;
  const tcp::endpoint endpoint_;
  asio::ssl::context* const tls_;
  // The lines of a request's head that say who calls.
  const std::string credentials_;
  std::optional<asio::ssl::stream<tcp::socket>> socket_;
  boost::beast::flat_buffer buffer_;
};

}  // namespace backflip::tools

#endif  // BACKFLIP_TOOLS_LABELING_LINES_H_
