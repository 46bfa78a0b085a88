// Requests over HTTP, up to the call that they become: heads, cookies, JSON, protobuf.
#include <grpcpp/grpcpp.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <variant>

#include "services/preference_broker/http/gateway.h"
#include "services/preference_broker/http/message.h"

using namespace backflip::preference_broker;
namespace http = boost::beast::http;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // nobody is there, and no call is started
  static Gateway* const gateway = [] {
    auto* const made = new Gateway(
        grpc::CreateChannel("unix:/nowhere", grpc::InsecureChannelCredentials()),
        [](const std::string&, const std::function<void(absl::Status)>& done) {
          done(absl::OkStatus());
        },
        Pages());
    made->ReachedAt("https://labels.example.org");
    return made;
  }();
  http::request_parser<http::string_body> parser;
  parser.header_limit(kMaxHeaderBytes);
  parser.body_limit(kMaxBodyBytes);
  parser.eager(true);
  boost::system::error_code error;
  parser.put(boost::asio::const_buffer(data, size), error);
  if (!parser.is_header_done()) return 0;
  HttpRequest request = Head(parser.get());
  request.address = ForwardedPlace(parser.get(), "192.0.2.1");
  request.body = std::move(parser.get().body());
  const std::variant<Answer, Route> found = gateway->Find(request);
  if (const auto* const route = std::get_if<Route>(&found)) (void)gateway->Handle(*route, request);
  return 0;
}
