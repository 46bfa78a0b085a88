export class Stack {
  static start(): Promise<Stack>;
  readonly url: string;
  command(line: string): Promise<any>;
  call(method: string, request: object): Promise<any>;
  people(options?: {
    pairs?: number;
    width?: number;
    spec?: string;
    invite?: Record<string, unknown>;
  }): Promise<{ run: number; clips: string[]; name: string; secret: string }>;
  invite(request: Record<string, unknown>): Promise<{ inviteId: string; secret: string }>;
  labels(run: number): Promise<any[]>;
  value(statement: string): Promise<string>;
  end(): Promise<void>;
}
