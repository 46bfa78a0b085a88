#include "common/rpc/call_metrics.h"

#include <google/protobuf/descriptor.h>

#include <map>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "common/base/mutex.h"
#include "common/metrics/metrics.h"
#include "common/rpc/status.h"

namespace backflip::rpc {
namespace {

using grpc::experimental::InterceptionHookPoints;
using grpc::experimental::InterceptorBatchMethods;

// "RunService/Get" of "/backflip.v1.RunService/Get". Whoever calls chooses the path, hence "other"
// for what this program does not know.
std::string MethodName(absl::string_view path) {
  absl::ConsumePrefix(&path, "/");
  const std::string full = absl::StrReplaceAll(path, {{"/", "."}});
  const auto* const method =
      google::protobuf::DescriptorPool::generated_pool()->FindMethodByName(full);
  return method == nullptr ? "other" : absl::StrCat(method->service()->name(), "/", method->name());
}

struct Side {
  const char* name;
  const char* help;
  const InterceptionHookPoints ends_at;
};
constexpr Side kServer{"backflip_rpc_server_seconds",
                       "Calls answered, from their arrival to their status.",
                       InterceptionHookPoints::PRE_SEND_STATUS};
constexpr Side kClient{"backflip_rpc_client_seconds",
                       "Attempts of calls made, from their start to their status.",
                       InterceptionHookPoints::POST_RECV_STATUS};

void Record(const Side& side, const std::string& path, grpc::StatusCode code, absl::Duration took) {
  static auto* const mutex = new base::Mutex;
  static auto* const known =
      new std::map<std::tuple<const Side*, std::string, grpc::StatusCode>, metrics::Histogram*>;
  metrics::Histogram* durations;
  {
    base::MutexLock lock(mutex);
    metrics::Histogram*& place = (*known)[{&side, path, code}];
    if (place == nullptr) {
      place = &metrics::GetDurations(
          side.name, side.help,
          {{"method", path},
           {"code", absl::StatusCodeToString(static_cast<absl::StatusCode>(code))}});
    }
    durations = place;
  }
  durations->Observe(absl::ToDoubleSeconds(took));
}

// Both sides: the hook at which a call's status is known differs.
class Stopwatch : public grpc::experimental::Interceptor {
 public:
  Stopwatch(const Side* side, const char* path) : side_(side), method_(MethodName(path)) {}

  void Intercept(InterceptorBatchMethods* batch) override {
    if (batch->QueryInterceptionHookPoint(side_->ends_at)) {
      const grpc::StatusCode code = side_ == &kServer ? batch->GetSendStatus().error_code()
                                                      : batch->GetRecvStatus()->error_code();
      Record(*side_, method_, code, absl::Now() - begin_);
    }
    batch->Proceed();
  }

 private:
  const Side* const side_;
  const std::string method_;
  const absl::Time begin_ = absl::Now();
};

class ServerFactory : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo* info) override {
    return new Stopwatch(&kServer, info->method());
  }
};

class ClientFactory : public grpc::experimental::ClientInterceptorFactoryInterface {
 public:
  grpc::experimental::Interceptor* CreateClientInterceptor(
      grpc::experimental::ClientRpcInfo* info) override {
    return new Stopwatch(&kClient, info->method());
  }
};

template <typename Interface, typename Factory>
std::vector<std::unique_ptr<Interface>> One() {
  std::vector<std::unique_ptr<Interface>> factories;
  factories.push_back(std::make_unique<Factory>());
  return factories;
}

}  // namespace

std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>>
MeasuredCalls() {
  return One<grpc::experimental::ServerInterceptorFactoryInterface, ServerFactory>();
}

std::vector<std::unique_ptr<grpc::experimental::ClientInterceptorFactoryInterface>>
MeasuredAttempts() {
  return One<grpc::experimental::ClientInterceptorFactoryInterface, ClientFactory>();
}

}  // namespace backflip::rpc
