// With which flags the programs of a run were started.
#include "backflip/v1/config.grpc.pb.h"
#include "common/base/program.h"
#include "services/preference_broker/rpc/services.h"
#include "services/preference_broker/rpc/validate.h"
#include "services/preference_broker/store/runs/configs.h"

namespace backflip::preference_broker {
namespace {

constexpr size_t kMaxConfigBytes = 16'000;

class ConfigServiceImpl final : public v1::ConfigService::CallbackService {
 public:
  explicit ConfigServiceImpl(CallContext calls) : calls_(calls) {}

  grpc::ServerUnaryReactor* ReportConfig(grpc::CallbackServerContext* context,
                                         const v1::ReportConfigRequest* request,
                                         v1::ReportConfigResponse*) override {
    return Unary(calls_, request, context,
                 [=](Connection& connection, const Caller& caller) -> absl::Status {
                   RETURN_IF_ERROR(CheckText("config", request->config(), kMaxConfigBytes));
                   return preference_broker::ReportConfig(connection, caller, *request,
                                                          base::ProgramConfig());
                 });
  }

  grpc::ServerUnaryReactor* ListConfigs(grpc::CallbackServerContext* context,
                                        const v1::ListConfigsRequest* request,
                                        v1::ListConfigsResponse* response) override {
    return Unary(calls_, request, context,
                 [=](Connection& connection, const Caller& caller) -> absl::Status {
                   RETURN_IF_ERROR(CheckRunAllowed(caller, request->run_id()));
                   ASSIGN_OR_RETURN(*response,
                                    preference_broker::ListConfigs(connection, request->run_id()));
                   return absl::OkStatus();
                 });
  }

 private:
  const CallContext calls_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeConfigService(CallContext calls) {
  return std::make_unique<ConfigServiceImpl>(calls);
}

}  // namespace backflip::preference_broker
