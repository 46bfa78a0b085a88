// Takes spans as a collector does, by OpenTelemetry's protocol over HTTP.
#ifndef BACKFLIP_TESTS_SUPPORT_SPAN_COLLECTOR_H_
#define BACKFLIP_TESTS_SUPPORT_SPAN_COLLECTOR_H_

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <condition_variable>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace backflip::testing {

struct Received {
  std::string target;
  std::string type;
  nlohmann::json body;
};

// Takes requests one after another, and answers with the given status codes, the last of them from
// then on.
class SpanCollector {
 public:
  explicit SpanCollector(std::vector<int> codes)
      : codes_(std::move(codes)), thread_([this] { Serve(); }) {}

  ~SpanCollector() {
    boost::system::error_code ignored;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      ending_ = true;
    }
    Tcp::socket(io_).connect(acceptor_.local_endpoint(), ignored);
    thread_.join();
  }

  std::string Url() const {
    return absl::StrCat("http://127.0.0.1:", acceptor_.local_endpoint().port(), "/");
  }

  // All that there were so far; blocks until there were so many.
  std::vector<Received> Await(size_t count) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return received_.size() >= count; });
    return received_;
  }

 private:
  using Tcp = boost::asio::ip::tcp;

  void Serve() {
    namespace http = boost::beast::http;
    for (size_t i = 0;; ++i) {
      Tcp::socket socket = acceptor_.accept();
      {
        std::unique_lock<std::mutex> lock(mutex_);
        if (ending_) return;
      }
      boost::beast::flat_buffer buffer;
      http::request<http::string_body> request;
      http::read(socket, buffer, request);
      http::response<http::string_body> response(
          http::int_to_status(codes_[std::min(i, codes_.size() - 1)]), 11, "{}");
      response.keep_alive(false);
      response.prepare_payload();
      http::write(socket, response);
      std::unique_lock<std::mutex> lock(mutex_);
      received_.push_back({std::string(request.target()),
                           std::string(request[http::field::content_type]),
                           nlohmann::json::parse(request.body())});
      changed_.notify_all();
    }
  }

  const std::vector<int> codes_;
  boost::asio::io_context io_;
  Tcp::acceptor acceptor_{io_, Tcp::endpoint(boost::asio::ip::make_address("127.0.0.1"), 0)};
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Received> received_;
  bool ending_ = false;
  std::thread thread_;
};

inline std::vector<nlohmann::json> SpansOf(const std::vector<Received>& received) {
  std::vector<nlohmann::json> spans;
  for (const Received& request : received) {
    for (const auto& span : request.body["resourceSpans"][0]["scopeSpans"][0]["spans"]) {
      spans.push_back(span);
    }
  }
  return spans;
}

}  // namespace backflip::testing

#endif  // BACKFLIP_TESTS_SUPPORT_SPAN_COLLECTOR_H_
