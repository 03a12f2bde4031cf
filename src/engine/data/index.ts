// The data part as the rest of the engine sees it: tokenizers, prepared examples, batches.
export type { Batch, BatchOptions, BatchPlan } from './batches';
export { ignoredTarget, planBatches } from './batches';
export type { RenderOptions } from './chatTemplate';
export { ChatTemplate, defaultChatTemplate } from './chatTemplate';
export type { ConversationFormat } from './conversation';
export { conversationFormat, encodeConversation } from './conversation';
export type {
  DataReport,
  DatasetFile,
  EncodingOptions,
  Example,
  LengthBar,
  ReadingOptions,
  TrainOn,
  Truncation,
} from './dataset';
export { defaults as dataDefaults } from './dataset';
export type { EncodedSample } from './examples';
export { ExampleEncoder } from './examples';
export type { ChatMessage, ChatRole, ToolCall } from './messages';
export type { DataOptions, PreparedData } from './prepare';
export { prepareData } from './prepare';
export type { DatasetFormat } from './readers/open';
export { detectFormat } from './readers/open';
export type { TextSplit } from './readers/row';
export type { ColumnMapping, DatasetShape, RowShape, Sample } from './shapes';
export { columnNames, detectShape } from './shapes';
export { splitExamples } from './split';
export type { TextStream } from './textStream';
export { loadTokenizer, Tokenizer } from './tokenizer';
