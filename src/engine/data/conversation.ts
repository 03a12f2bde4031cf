// In: a tokenizer and conversations. Out: the template that training and generation share, and the ids of a prompt for the next answer.
import { ChatTemplate, defaultChatTemplate } from './chatTemplate';
import type { ChatMessage } from './messages';
import type { Tokenizer } from './tokenizer';

export interface ConversationFormat {
  template: ChatTemplate;
  /** False where the model has no chat template and the stated default stands in. */
  own: boolean;
  source: string;
}

/** The chat template of a tokenizer, `source` in its place if given, else the default for models without one. */
export function conversationFormat(tokenizer: Tokenizer, source?: string): ConversationFormat {
  const chosen = source ?? tokenizer.chatTemplate;
  const variables = {
    bos_token: '',
    eos_token: tokenizer.eosToken ?? '',
    ...tokenizer.specialTokens,
    bos_if_wanted: tokenizer.startsWithBos ? tokenizer.bosToken! : '',
  };
  const origin =
    source === undefined ? `the chat template of ${tokenizer.folder}` : 'the chat_template given';
  const template = new ChatTemplate(chosen ?? defaultChatTemplate, variables, origin);
  return { template, own: chosen !== null, source: chosen ?? defaultChatTemplate };
}

/** Ids that ask the model for the next assistant message. Throws what the template raises. */
export function encodeConversation(
  tokenizer: Tokenizer,
  messages: readonly ChatMessage[],
  options: { chat_template?: string; tools?: unknown[] | null } = {},
): number[] {
  const { template } = conversationFormat(tokenizer, options.chat_template);
  const text = template.render(messages, { tools: options.tools ?? null, addGenerationPrompt: true });
  return tokenizer.encode(text, { specialTokens: false });
}
